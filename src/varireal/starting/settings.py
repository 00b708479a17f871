"""The settings of a user's own photos: a group in conf/dataset, made the default, and params.yaml composed from it."""

from __future__ import annotations

import dataclasses
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from varireal import paths
from varireal.base.file_kinds import shown
from varireal.base.files import atomic_write_bytes, read_yaml
from varireal.config import load_params
from varireal.config.composing import compose
from varireal.doctor.repository import pictures_to_be_committed
from varireal.errors import UserError

DEFAULT = re.compile(r"^(  - dataset: *)([\w.-]+)", re.MULTILINE)  # in the defaults of conf/config.yaml
NETWORKS = paths.CONF / "models/sdxl.yaml"  # what finds objects by their names
HEAD = """# @package _global_
# Written by `varireal init` for {root}
# It is yours to change. What is not set here is as image_folder.yaml has it; `make params` brings
# changes into params.yaml.
"""


@dataclasses.dataclass(frozen=True)
class OwnSettings:
    """What is asked for."""

    name: str  # of the group in conf/dataset
    root: Path
    masks_root: Path | None
    pictures: Path | None
    domain_word: str
    bank: Path
    attributes: tuple[str, ...]
    clip: str
    pretrained: str | None

    def text(self) -> str:
        """Return the group as YAML."""
        import yaml

        own: dict[str, Any] = {
            "defaults": ["image_folder", "_self_"],
            "dataset": {
                "domain_word": self.domain_word,
                "root": str(self.root),
                "masks_root": None if self.masks_root is None else str(self.masks_root),
            },
            "prompt": {"bank": self.bank.as_posix()},
        }
        if self.masks_root is None:
            own["segment"] = _networks_for_words()
        own["edit"] = {"prior": {"pictures": None if self.pictures is None else str(self.pictures)}}
        own["clip"] = {"model": self.clip, "pretrained": self.pretrained}
        own["train"] = {"learning_rate": 1.0e-4}
        own["grid"] = {"attributes": list(self.attributes)}
        own["tracking"] = {"experiment": self.name}
        dumped = yaml.safe_dump(own, sort_keys=False, allow_unicode=True, width=1000)
        return HEAD.format(root=self.root) + dumped


def write_settings(own: OwnSettings, *, replace: bool) -> None:
    """Write the group, make it the default, and compose params.yaml; all three or none.

    Raises:
        UserError: there is another group of that name, conf/ is not as expected, a path cannot be written in YAML, git
            would commit the photos, or the settings are wrong.
    """
    group, config = paths.CONF / f"dataset/{own.name}.yaml", paths.CONF / "config.yaml"
    for path in (own.root, own.masks_root, own.pictures):
        if path is not None and "${" in str(path):
            raise UserError(f"the path {path} has ${{ in it, which settings take for a reference; rename the folder")
        if path is not None and shown(path) != str(path):
            raise UserError(
                f"the path {shown(path)} has signs that settings cannot hold (a line break, or bytes that are no "
                "UTF-8); rename the folder"
            )
    text = own.text()
    if group.exists() and not replace and group.read_text(encoding="utf-8") != text:
        raise UserError(f"{group} exists and holds other settings; give --replace to write it anew, or --name another")
    if not config.is_file():
        raise UserError(f"{config} does not exist; run from the repository's root")
    before = config.read_text(encoding="utf-8")
    after, count = DEFAULT.subn(rf"\g<1>{own.name}", before, count=1)
    if not count:
        raise UserError(f"{config} names no default data set ('  - dataset: name' in defaults); put it back")
    with tempfile.TemporaryDirectory() as folder:
        conf = Path(folder) / paths.CONF.name
        shutil.copytree(paths.CONF, conf)
        (conf / "dataset" / group.name).write_text(text, encoding="utf-8")
        (conf / config.name).write_text(after, encoding="utf-8")
        composed = _composed(conf)
    atomic_write_bytes(group, text.encode())
    atomic_write_bytes(config, after.encode())
    atomic_write_bytes(paths.PARAMS, composed)


def _composed(conf: Path) -> bytes:
    """Return params.yaml as composed from a folder of settings.

    Raises:
        UserError: the settings cannot be composed, or are wrong.
    """
    written = conf.parent / "params.yaml"
    compose(conf, written, project=Path())
    try:
        load_params(written)
    except UserError as error:
        raise UserError(str(error).replace(str(written), "the settings")) from error
    if problem := pictures_to_be_committed(read_yaml(written), Path()):
        raise UserError(problem)
    return written.read_bytes()


def _networks_for_words() -> dict[str, Any]:
    """Return the settings of the networks that find objects by their names, as the full-size models have them."""
    segment = read_yaml(NETWORKS)["segment"]
    return {key: segment[key] for key in ("source", "fallback", "detector", "sam2", "clipseg")}
