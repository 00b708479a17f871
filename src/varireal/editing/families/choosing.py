"""Which family a checkpoint is of, and whether it can do what the settings ask for: said before weights are loaded."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from varireal.editing.families import FAMILIES, INPAINT, Family
from varireal.errors import UserError

if TYPE_CHECKING:
    from varireal.config import InpaintConfig
    from varireal.prompts import AttributeSpec

INDEX = "model_index.json"


def choose_family(section: str, config: InpaintConfig, task: str = INPAINT) -> Family:
    """Return the family that is asked for, or else the one that a checkpoint's folder says it is of.

    An id of the hub of which nothing is asked is taken for Stable Diffusion; loading it says so where it is not.

    Raises:
        UserError: the folder's checkpoint is of another family than the asked one, or its index cannot be read; or the
            family lacks what the settings ask for.
    """
    folder = Path(str(config.checkpoint))
    if (folder / INDEX).is_file():
        kind = _kind(folder, section)
        family = FAMILIES[config.family] if config.family else _family_of(kind) or FAMILIES["sd"]
        refuse_another(family, section, str(config.checkpoint), kind)
        refuse_task(family, section, str(config.checkpoint), task, kind)
    else:
        family = FAMILIES[config.family or "sd"]
    _refuse_what_is_lacking(family, section, config)
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


def refuse_task(family: Family, section: str, checkpoint: str, task: str, kind: str) -> None:
    """Check that a checkpoint does what is asked of it, such as to paint inside a mask.

    Raises:
        UserError: it does not.
    """
    if family.pipeline_class(task, kind) is None:
        raise UserError(
            f"{section}.checkpoint = {checkpoint!r} is a {kind} of family {family.name}, which has no {task}; choose "
            "another checkpoint, or another edit.method"
        )


def refuse_emphasis(family: Family, config: InpaintConfig, specs: Iterable[AttributeSpec]) -> None:
    """Check that nothing is emphasised where the family's text encoders know no emphasis.

    Raises:
        UserError: a value has a weight, and the settings do not say to leave it out.
    """
    if family.abilities.emphasis or not config.emphasis:
        return
    if named := [spec.name for spec in specs if spec.weight != 1]:
        raise UserError(
            f"edit.inpaint.family {family.name} knows no emphasis, but {len(named)} values have a weight (the first: "
            f"{named[0]!r}); set edit.inpaint.emphasis to false, so that their words count like the others"
        )


def _refuse_what_is_lacking(family: Family, section: str, config: InpaintConfig) -> None:
    able, size = family.abilities, config.image_size
    if able.schedulers is not None:
        for name in ("scheduler", "timestep_spacing"):
            if (value := getattr(config, name)) and value not in able.schedulers:
                raise UserError(
                    f"{section}.{name} = {value!r}: family {family.name} draws with its checkpoint's own scheduler "
                    "alone; set it to null"
                )
    if size is None:
        return
    if able.only and size != able.only:
        raise UserError(
            f"{section}.image_size = {size}: family {family.name} draws squares of {able.only} pixels alone"
        )
    if able.largest and size > able.largest:
        raise UserError(f"{section}.image_size = {size}: family {family.name} draws squares of up to {able.largest}")
    if size % able.multiple:
        raise UserError(
            f"{section}.image_size = {size}: family {family.name} draws squares whose side is a multiple of "
            f"{able.multiple}"
        )


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
