"""The hours of the full-size groups side by side, for the published data sets: `varireal doctor --hours`."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from varireal import paths
from varireal.config import load_params
from varireal.config.composing import compose
from varireal.doctor.stated import PASSING, StatedRun, hours_json, published_photos, state_run
from varireal.tables import Grid, Line, columns

if TYPE_CHECKING:
    from varireal.config import Params

DATA = ("oxford_pets", "fgvc_aircraft", "stanford_cars")
GROUPS = (  # what follows -S
    ("study=original",),
    ("models=sdxl",),
    ("models=sdxl_fast",),
    ("models=sdxl", "scale=lean"),
    ("models=sdxl_fast", "scale=lean"),
)
PARTS = {  # columns of the table: which parts of a run they add up
    "masks": ("masks",),
    "priors": ("priors",),
    "paint": ("inpainting",),
    "refine": ("refining",),
    "VAE": ("autoencoder",),
    "judge": ("judge",),
    "train": ("training", "looks and tests"),
}
COURSES = ("likely", "once", "never")  # columns with all parts together
TITLE = (
    f"Hours of one H100 by calculation, likely (with their parts): {PASSING:.0%} of attempts pass; once: every edit "
    "passes at its first attempt; never: none passes at all"
)


def state_groups(data: Sequence[str] = DATA, groups: Sequence[tuple[str, ...]] = GROUPS) -> dict[str, StatedRun]:
    """Return what each choice of groups takes, by `dataset=... -S` as it is typed.

    Raises:
        UserError: the settings cannot be composed.
    """
    stated = {}
    for name in data:
        for group in groups:
            params = _composed(f"dataset={name}", *group)
            published = published_photos(params.dataset)
            assert published is not None, name
            classes, photos = published
            stated[" ".join((f"dataset={name}", *group))] = state_run(params, photos, classes)
    return stated


def _composed(*chosen: str) -> Params:
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "params.yaml")
        compose(paths.CONF, target, chosen)
        return load_params(target)


def groups_grid(stated: dict[str, StatedRun]) -> Grid:
    """Return a line for every choice of groups: its edits, its hours by part, and those of three courses."""
    lines: list[Line] = []
    for name, run in stated.items():
        data, _, group = name.partition(" ")
        if not lines or lines[-1].section != data:
            lines.append(Line((data, *[""] * (len(PARTS) + len(COURSES) + 1)), section=data))
        parts = [sum(run.likely[part] for part in added) for added in PARTS.values()]
        totals = [sum(course.values()) for course in (run.likely, run.once, run.never)]
        numbers = [f"{hours:.1f}" for hours in (*parts, *totals)]
        lines.append(Line((f"  {group}", f"{run.work.edits:,}", *numbers), section=data))
    heads = columns("settings", wrap="never") + columns("edits", *PARTS, *COURSES, kind="number", wrap="never")
    return Grid(TITLE, heads, tuple(lines))


def groups_json(stated: dict[str, StatedRun]) -> dict[str, Any]:
    """Return the same as JSON values."""
    return {
        name: {"edits": run.work.edits, "fine_tunings": run.work.fine_tunings, "steps": run.work.steps,
               "h100_hours": hours_json(run)}
        for name, run in stated.items()
    }  # fmt: skip
