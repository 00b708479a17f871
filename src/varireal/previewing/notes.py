"""What previews measured, kept beside the finished work: a second preview finds everything made and nothing to time."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from varireal.base.files import read_json, write_json
from varireal.editing.ahead import FOLDER
from varireal.editing.attempts import FilterAnswer
from varireal.networks.calls import NetworkUse
from varireal.previewing.probe import Measured
from varireal.store import content_key, work_root


def remembered(what: str, settings: Any, measured: Measured) -> Measured:
    """Return what was just measured together with what earlier previews measured with the same settings.

    Args:
        what: the part of the run.
        settings: all that decides its pace, as JSON values.
    """
    path, before = note_path(what, settings), Measured()
    if path.is_file():
        before = _read(read_json(path))
    if not measured.items and not measured.photos:
        return before
    before.add(measured)
    write_json(path, dataclasses.asdict(before))
    return before


def note_path(what: str, settings: Any) -> Path:
    """Return where a note with these settings lies."""
    key = content_key({"note": what, "settings": settings})
    return work_root() / FOLDER / key[:2] / f"{key}.json"


def _read(note: dict[str, Any]) -> Measured:
    uses = {name: NetworkUse(**use) for name, use in note.pop("uses").items()}
    photos = {name: FilterAnswer(**answer) for name, answer in note.pop("photos").items()}
    return Measured(**note, uses=uses, photos=photos)
