"""Settings composed from the groups in conf/, as `dvc exp run -S ...` composes params.yaml."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from varireal.errors import UserError


def compose(conf: Path, target: Path, chosen: Sequence[str] = (), project: Path | None = None) -> None:
    """Write settings into ``target``: those of a project's ``conf``, with some groups or values chosen.

    Args:
        project: the root of the project, whose plugins derive settings from others; by default where ``conf`` lies.

    Raises:
        UserError: they cannot be composed.
    """
    from dvc.exceptions import DvcException
    from dvc.utils.hydra import compose_and_dump
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    if not (conf / "config.yaml").is_file():
        raise UserError(f"{conf / 'config.yaml'} does not exist; run from the repository's root")
    plugins = (project or conf.parent).resolve() / ".dvc/plugins"
    try:
        compose_and_dump(str(target), str(conf.resolve()), None, "config.yaml", str(plugins), list(chosen))
    except DvcException as error:  # what .dvc/plugins says of them
        raise UserError(str(error)) from error
    except (HydraException, OmegaConfBaseException) as error:
        lines = str(error).splitlines() or [type(error).__name__]
        raise UserError(" ".join(["the settings", *chosen, f"cannot be composed: {lines[0]}"])) from error
