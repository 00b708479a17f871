"""Which family a checkpoint is of, and whether it can do what the settings ask for: said before weights are loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from varireal.editing.families import FAMILIES, Family
from varireal.errors import UserError

if TYPE_CHECKING:
    from varireal.config import InpaintConfig

INDEX = "model_index.json"


def choose_family(section: str, config: InpaintConfig) -> Family:
    """Return the family that is asked for, or else the one that a checkpoint's folder says it is of.

    An id of the hub of which nothing is asked is taken for Stable Diffusion; loading it says so where it is not.

    Raises:
        UserError: the folder's checkpoint is of another family than the asked one, or its index cannot be read.
    """
    folder = Path(str(config.checkpoint))
    if not (folder / INDEX).is_file():
        return FAMILIES[config.family or "sd"]
    kind = _kind(folder, section)
    family = FAMILIES[config.family] if config.family else _family_of(kind) or FAMILIES["sd"]
    refuse_another(family, section, str(config.checkpoint), kind)
    return family


def refuse_another(family: Family, section: str, checkpoint: str, kind: str) -> None:
    """Check that a checkpoint is of a family, by what its ``model_index.json`` says it is.

    Raises:
        UserError: it is of another one, which may be known here.
    """
    other = _family_of(kind)
    if kind in family.classes or (other is None and family.any_class):
        return
    words = f"{section}.checkpoint = {checkpoint!r} is a {kind}; {family.abilities.words} work"
    if other and section == "edit.inpaint":
        words = f"{words} with {section}.family = {family.name}: set it to {other.name}, or choose another checkpoint"
    raise UserError(words)


def _family_of(kind: str) -> Family | None:
    return next((family for family in FAMILIES.values() if kind in family.classes), None)


def _kind(folder: Path, section: str) -> str:
    try:
        return str(json.loads((folder / INDEX).read_text(encoding="utf-8"))["_class_name"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{section}.checkpoint = {str(folder)!r}: its {INDEX} cannot be read ({type(error).__name__}: {error}); "
            "get the checkpoint again, or choose another one"
        ) from error
