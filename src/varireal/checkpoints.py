"""Checkpoints of diffusers and transformers: a local folder or a hub id. Light: nothing is imported or downloaded."""

from __future__ import annotations

import re
from pathlib import Path

from varireal.errors import UserError
from varireal.io import sha256_folder

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def is_hub_id(checkpoint: str) -> bool:
    """Return whether a name means a repository of the hub: ``owner/name``, and no folder here begins like that."""
    return (
        _HUB_ID.fullmatch(checkpoint) is not None
        and not Path(checkpoint).parts[0].startswith(".")
        and not (Path(checkpoint).exists() or Path(Path(checkpoint).parts[0]).is_dir())
    )


def check_checkpoint(checkpoint: str, key: str, config_name: str) -> None:
    """Check a local folder before anything expensive; hub ids are checked when they are loaded.

    Args:
        checkpoint: a folder or a hub id.
        key: where params.yaml names it, for the message.
        config_name: the file that makes a folder a checkpoint, such as ``model_index.json``.

    Raises:
        UserError: the folder, its configuration or its safetensors weights are missing.
    """
    if is_hub_id(checkpoint):
        return
    folder = Path(checkpoint)
    if not folder.is_dir():
        raise UserError(f"{key} = {checkpoint!r}: this folder does not exist; give a folder or a hub id owner/name")
    if not (folder / config_name).is_file():
        raise UserError(
            f"{key} = {checkpoint!r}: the folder has no {config_name}, so it is not a checkpoint of that kind"
        )
    if next(folder.rglob("*.safetensors"), None) is None:
        raise UserError(f"{key} = {checkpoint!r}: the folder has no .safetensors weights; other formats are not read")


def checkpoint_identity(checkpoint: str, revision: str | None) -> str:
    """Return what stands for the weights in a content key: a hash of the folder, else the hub id and its revision.

    Raises:
        UserError: the folder is missing or empty.
    """
    if is_hub_id(checkpoint):
        return f"{checkpoint}@{revision or 'main'}"
    return sha256_folder(Path(checkpoint))
