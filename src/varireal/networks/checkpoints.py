"""Check and name checkpoints of diffusers and transformers, in folders or on the hub, without loading weights."""

from __future__ import annotations

import functools
import logging
import re
from pathlib import Path

from varireal.base.files import sha256_folder
from varireal.errors import UserError
from varireal.networks.checkpoint_forms import (
    form_of_file,
    form_without_config,
    form_without_safetensors,
    other_variant,
    pointers_for_weights,
)

logger = logging.getLogger(__name__)

HUB_SECONDS = 10.0  # to wait for the hub's answer about a revision
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def is_hub_id(checkpoint: str) -> bool:
    """Tell whether a name means a repository of the hub: ``owner/name``, and no folder here begins like that."""
    return (
        _HUB_ID.fullmatch(checkpoint) is not None
        and not Path(checkpoint).parts[0].startswith(".")
        and not (Path(checkpoint).exists() or Path(Path(checkpoint).parts[0]).is_dir())
    )


def check_checkpoint(checkpoint: str, key: str, config_name: str, subfolder: str | None = None) -> None:
    """Check a local folder before anything expensive; hub ids are checked when they are loaded.

    Args:
        checkpoint: a folder or a hub id.
        key: where params.yaml names it, for the message.
        config_name: the file that makes a folder a checkpoint, such as ``model_index.json``.
        subfolder: where in that folder or repository the checkpoint lies.

    Raises:
        UserError: the folder, its configuration or its safetensors weights are missing.
    """
    if is_hub_id(checkpoint):
        return
    folder = Path(checkpoint, subfolder or "")
    named = f"{key} = {folder.as_posix()!r}"
    if folder.is_file():
        raise UserError(f"{named}: this is {form_of_file(folder)}")
    if not folder.is_dir():
        raise UserError(f"{named}: this folder does not exist; give a folder or a hub id owner/name")
    if not (folder / config_name).is_file():
        form = form_without_config(folder, config_name) or "so it is not a checkpoint of that kind"
        raise UserError(f"{named}: the folder has no {config_name}; {form}")
    if next(folder.rglob("*.safetensors"), None) is None:
        raise UserError(
            f"{named}: the folder has no .safetensors weights; other formats are not read: "
            f"{form_without_safetensors(folder)}"
        )
    if problem := pointers_for_weights(folder):
        raise UserError(f"{named}: {problem}")


def check_variant(checkpoint: str, key: str, variant: str | None) -> None:
    """Check that a local pipeline has its weights in the variant that is asked for; hub ids are checked when loaded.

    Raises:
        UserError: it has another one only, such as halves (``fp16``).
    """
    if is_hub_id(checkpoint) or (problem := other_variant(Path(checkpoint), variant)) is None:
        return
    raise UserError(f"{key} = {checkpoint!r}: {problem} ({key.removesuffix('checkpoint')}variant)")


def check_file(checkpoint: str, key: str, subfolder: str | None, name: str) -> None:
    """Check that a local folder holds a file of weights; hub ids are checked when they are loaded.

    Raises:
        UserError: the file is missing.
    """
    file = Path(checkpoint, subfolder or "", name)
    if not is_hub_id(checkpoint) and not file.is_file():
        raise UserError(f"{key} = {name!r}: there is no file {file.as_posix()}; name one that the folder has")


def checkpoint_identity(checkpoint: str, revision: str | None) -> str:
    """Name the weights in a content key: by a hash of the folder, else by the hub id and its commit.

    A revision may be a branch, which moves (None means main): its commit is read from the local cache, else asked of
    the hub. If neither knows it, the name itself is taken, with a warning, as nothing then tells new weights from old.

    Raises:
        UserError: the folder is missing or empty.
    """
    if not is_hub_id(checkpoint):
        return sha256_folder(Path(checkpoint))
    name = revision or "main"
    commit = name if _COMMIT.fullmatch(name) else _hub_commit(checkpoint, name)
    if commit is None:
        logger.warning(
            "%s: the commit of its revision %s is not known here; if it moves, results of the old weights stay in use",
            checkpoint,
            name,
        )
    return f"{checkpoint}@{commit or name}"


@functools.cache
def _hub_commit(checkpoint: str, revision: str) -> str | None:
    """Look up the commit of a branch or tag in the local cache, else at the hub; None if neither answers."""
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HTTPError  # of whichever HTTP library it uses
    from huggingface_hub.file_download import repo_folder_name

    folder = repo_folder_name(repo_id=checkpoint, repo_type="model")
    cached = Path(constants.HF_HUB_CACHE) / folder / "refs" / revision
    if cached.is_file():
        return cached.read_text(encoding="ascii").strip()
    try:
        return HfApi().model_info(checkpoint, revision=revision, timeout=HUB_SECONDS).sha
    except (OSError, HTTPError) as error:
        logger.info("%s cannot be looked up at the hub: %s", checkpoint, error)
        return None
