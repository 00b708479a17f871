"""What a full-size run with the user's own settings takes by calculation: the row `hours` of the doctor's table."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from varireal.datasets import DATASETS, PublishedDataset
from varireal.doctor.estimate import mean_attempts
from varireal.doctor.findings import Finding
from varireal.doctor.hours import H100, stated_hours
from varireal.doctor.workload import Workload, count_workload
from varireal.errors import UserError
from varireal.prompts.bank import read_bank

if TYPE_CHECKING:
    from varireal.config import DatasetConfig, Params

PASSING = 0.7  # assumed share of attempts that the filter accepts
TABLE = "docs/full_size.md"  # where every assumption stands
# the networks whose calls were counted, by setting; the same name without its owner may be a folder's
COUNTED = {
    "edit.inpaint.checkpoint": ("stable-diffusion-xl-1.0-inpainting-0.1",),
    "edit.refine.checkpoint": ("RealVisXL_V4.0",),
    "edit.refine.controlnet.checkpoint": ("controlnet-canny-sdxl-1.0",),
    "edit.prior.checkpoint": ("stable-diffusion-2-1-base",),
    "filter.model": ("llava-v1.6-mistral-7b-hf",),
    "clip.model": ("ViT-B-16", "ViT-B-16-quickgelu"),
}


@dataclasses.dataclass(frozen=True)
class StatedRun:
    """The work of a run, and its hours of one H100 by part, for each of three luckier or unluckier courses."""

    work: Workload
    once: Mapping[str, float]  # every edit passes at its first attempt
    likely: Mapping[str, float]  # each attempt passes with a probability of PASSING
    never: Mapping[str, float]  # all attempts are used for every edit


def state_run(params: Params, photos: Mapping[str, int], classes: int, unmasked: int = 0) -> StatedRun:
    """Count a run's work, and what it takes.

    Args:
        photos: how many there are, by split.
        unmasked: photos of train that get no edit.

    Raises:
        KeyError: nobody counted a network at the size that the settings ask for.
        UserError: the bank cannot be read.
    """
    work = count_workload(params, photos, unmasked)
    values = drawn_values(params)
    attempts = (1.0, mean_attempts(PASSING, work.max_attempts), float(work.max_attempts))
    return StatedRun(work, *(stated_hours(params, work, classes, values, H100, each) for each in attempts))


def published_photos(data: DatasetConfig) -> tuple[int, dict[str, int]] | None:
    """Return how many classes and photos, by split, a published data set has; None for one's own photos."""
    kind = DATASETS[data.name]
    if not issubclass(kind, PublishedDataset):
        return None
    train, val = kind.photo_counts["train"], kind.photo_counts.get("val", 0)
    if not val or data.val_split == "drawn":
        both = train + val
        val = data.val_per_class * kind.class_count if data.val_per_class else round(both * data.val_share)
        train = both - val
    if data.train_per_class:
        train = min(train, data.train_per_class * kind.class_count)
    return kind.class_count, {"train": train, "val": val, "test": kind.photo_counts["test"]}


def drawn_values(params: Params) -> int:
    """Return for how many places and materials pictures are drawn: at most as many as the bank has in the grid's cells.

    0 where a language model or the study gives them: priors are a small part, and nobody knows their number yet.

    Raises:
        UserError: the bank cannot be read.
    """
    if params.edit.prior.source != "text_to_image" or params.prompt.source != "bank":
        return 0
    lists = read_bank(Path(params.prompt.bank)).lists
    return sum(
        len({spec.name for specs in lists.get(attribute, {}).get(feasibility, {}).values() for spec in specs})
        for attribute in params.grid.attributes
        if attribute != "color"
        for feasibility in params.grid.feasibilities
    )


def uncounted(params: Params) -> str | None:
    """Say which setting names something whose calls nobody counted; None where all are."""
    edit = params.edit
    if edit.method != "diffusion":
        return f"edit.method {edit.method}"
    used = {
        "edit.inpaint.checkpoint": edit.inpaint.checkpoint,
        "edit.refine.checkpoint": edit.refine.checkpoint,
        "edit.refine.controlnet.checkpoint": edit.refine.controlnet.checkpoint,
        "edit.prior.checkpoint": edit.prior.checkpoint if edit.prior.source == "text_to_image" else None,
        "filter.model": params.filter.model if params.filter.name == "vqa" else None,
        "clip.model": params.clip.model,
    }
    for key, value in used.items():
        if value is not None and Path(str(value)).name not in COUNTED[key]:
            return f"{key} = {value!r}"
    return None


def hours_finding(params: Params, photos: Mapping[str, int], classes: int, unmasked: int = 0) -> Finding:
    """Return the hours of one H100 that a run with these settings takes, by part, or why they are not known."""
    reason, run = uncounted(params), None
    if reason is None:
        try:
            run = state_run(params, photos, classes, unmasked)
        except KeyError as error:
            reason = str(error.args[0])
        except UserError as error:  # the bank's
            return Finding("work", "hours", "note", f"not calculated: {error}", "as it says")
    if run is None:
        words = f"not by calculation: nobody counted the calls of {reason}"
        return Finding("work", "hours", "note", words, "time a few edits here: varireal doctor --calibrate")
    once, likely, never = (sum(each.values()) for each in (run.once, run.likely, run.never))
    parts = ", ".join(f"{part} {hours:.1f}" for part, hours in run.likely.items() if hours >= 0.05)
    words = (
        f"about {likely:.1f} of one H100, where {PASSING:.0%} of attempts pass ({once:.1f} if all pass at once, "
        f"{never:.1f} if none ever does): {parts}; by calculation, as {TABLE} says"
    )
    return Finding("work", "hours", "ok", words, values=hours_json(run))


def hours_json(run: StatedRun) -> dict[str, dict[str, float]]:
    """Return the hours by course and part, as JSON values."""
    courses = {"all_pass_at_once": run.once, "likely": run.likely, "none_passes": run.never}
    return {name: {part: round(hours, 3) for part, hours in course.items()} for name, course in courses.items()}
