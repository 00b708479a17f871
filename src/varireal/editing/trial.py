"""A look at the classifier before anything is painted: the stages that need it come after all hours of editing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from varireal.base.files import sha256_file, sha256_folder, write_json
from varireal.errors import UserError
from varireal.store import content_key, work_root

if TYPE_CHECKING:
    from varireal.config import ClipConfig, Params

COMMAND = ("-m", "varireal", "try-classifier")
FOLDER = "tried"  # below .work


def try_classifier(params: Params) -> None:
    """Let the classifier answer a blank input, once a study, where edits ask for an accelerator and so take hours.

    It does so on the CPU and in a process of its own, called by its name: edits depend neither on the code of the
    training nor on the settings of the classifier, and another one makes none of them anew.

    Raises:
        UserError: it cannot be loaded, or its answer is of no use.
    """
    if not params.compute.require_accelerator or params.compute.device == "cpu":
        return
    key = content_key(
        {"classifier": params.clip.model_dump(mode="json", exclude={"sentence"}), "files": _files(params.clip)}
    )
    note = work_root() / FOLDER / key[:2] / f"{key}.json"
    if note.is_file():
        return
    command = [sys.executable, *COMMAND, params.clip.model_dump_json()]
    ended = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    if ended.returncode:
        lines = [line for line in ended.stderr.splitlines() if line.strip()]
        reason = lines[-1].removeprefix("Error: ") if lines else f"its process ended with code {ended.returncode}"
        raise UserError(f"nothing is edited yet, as the classifier would fail after all edits: {reason}")
    write_json(note, {"model": params.clip.model, "pretrained": params.clip.pretrained})


def _files(clip: ClipConfig) -> list[str]:
    """Return the hashes of a classifier's local files."""
    named = [Path(name) for name in (clip.model.removeprefix("local-dir:"), clip.pretrained) if name]
    folders = [sha256_folder(path) for path in named if path.is_dir()]
    return folders + [sha256_file(path) for path in named if path.is_file()]
