"""Settings composed from the groups in conf/, as `dvc exp run -S ...` composes params.yaml."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from varireal.errors import UserError

PLUGINS = Path(".dvc/plugins")


def compose(conf: Path, target: Path, chosen: Sequence[str] = ()) -> None:
    """Write settings into ``target``: those of a folder ``conf``, with some groups or values chosen.

    Raises:
        UserError: they cannot be composed.
    """
    from dvc.exceptions import DvcException
    from dvc.utils.hydra import compose_and_dump
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    if not (conf / "config.yaml").is_file():
        raise UserError(f"{conf / 'config.yaml'} does not exist; run from the repository's root")
    try:
        compose_and_dump(str(target), str(conf.resolve()), None, "config.yaml", str(PLUGINS.resolve()), list(chosen))
    except (DvcException, HydraException, OmegaConfBaseException) as error:
        raise UserError(f"the settings cannot be composed: {(str(error).splitlines() or ['?'])[0]}") from error
