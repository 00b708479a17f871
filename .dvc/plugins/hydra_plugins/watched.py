"""What DVC watches: ``${watched:...}`` in conf/ names the local folder or file that a setting means.

DVC loads this module before it composes params.yaml (`plugins_path` in .dvc/config). It imports nothing of the project,
for `dvc` may run in another environment.
"""

import re
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

ROOT = Path(__file__).parents[3]
ANYWAY = "src/varireal/base"  # every stage depends on it already, so to watch it again changes nothing
MAY_BE_ELSEWHERE = {"checkpoint", "model", "pretrained"}  # settings that take a hub id or a name too; others are paths


def watched(*keys: str, _root_: DictConfig) -> str:
    """Return the first path that one of these settings names, and what is watched anyway where none does.

    A key with a slash is a path itself.
    """
    for key in keys:
        name = key if "/" in key else OmegaConf.select(_root_, key)
        if name and ("/" in key or key.rpartition(".")[2] not in MAY_BE_ELSEWHERE or is_local(name)):
            path = name.removeprefix("local-dir:")
            # as load_params takes it; DVC itself would look for a folder called ~
            return at_home(path) if path.startswith("~") else path
    return ANYWAY


def at_home(path: str) -> str:
    """Return a path with ~ as the home folder; one of nobody's home stays as it is, and is found missing later."""
    try:
        return str(Path(path).expanduser())
    except RuntimeError:
        return path


def is_local(name: str) -> bool:
    """Return whether the name of a network means a folder or file, as `varireal.networks` understands it."""
    if name.startswith(("local-dir:", "hf-hub:")):
        return name.startswith("local-dir:")
    if "/" not in name:  # perhaps a network that open_clip knows
        return (ROOT / name).exists()
    first, *_ = Path(name).parts
    return not re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", name) or (ROOT / first).is_dir()


def mask_source(_root_: DictConfig) -> str:
    """Return where masks come from: the data set's own, or else the networks that the models' group names."""
    if OmegaConf.select(_root_, "dataset.masks_root"):
        return "dataset"
    for source, networks in (("grounded_sam2", ("detector", "sam2")), ("sam3", ("sam3",)), ("clipseg", ("clipseg",))):
        if all(OmegaConf.select(_root_, f"segment.{network}.checkpoint") for network in networks):
            return source
    return "model"


OmegaConf.register_new_resolver("watched", watched, replace=True)
OmegaConf.register_new_resolver("mask_source", mask_source, replace=True)
