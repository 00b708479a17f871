"""Time and disk of a whole run, from what a calibration measured: arithmetic alone."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from varireal.doctor.findings import Finding, Status, readable_bytes

if TYPE_CHECKING:
    from varireal.config import Params
    from varireal.doctor.workload import Workload

MINUTE, HOUR = 60.0, 3600.0


@dataclasses.dataclass(frozen=True)
class Pace:
    """How fast a stage does its items."""

    fixed: float  # seconds beside the items: start of the process, imports, loading, warming up
    per_item: float  # seconds of one worker
    workers: int
    batch: int = 1  # items that a worker takes at once

    def seconds(self, items: int) -> float:
        """Return what the items alone take: the workers do a batch each, side by side, in rounds."""
        return math.ceil(math.ceil(items / self.batch) / self.workers) * self.batch * self.per_item


@dataclasses.dataclass(frozen=True)
class EditPace:
    """What was measured of one cell's edits."""

    edits: Pace
    pictures: Pace  # of values, each with all its pictures; ``fixed`` is in ``edits``
    passed: float  # share of edits that the filter accepted
    edit_bytes: float  # of an edit's files
    value_bytes: float  # of a value's pictures


@dataclasses.dataclass(frozen=True)
class TrainingPace:
    """What was measured of one fine-tuning."""

    fixed: float  # seconds, as in Pace
    step: float  # seconds of an optimisation step
    look: float  # seconds of a look at val beside its images: the class sentences
    look_image: float  # seconds
    decode_image: float  # seconds, once in the study
    workers: int
    image_bytes: int  # of a decoded image
    adapter_bytes: int


@dataclasses.dataclass(frozen=True)
class Calibration:
    """All that a calibration measured."""

    photo: float  # seconds to write a photo with its mask
    photo_bytes: float
    pictures: float  # seconds to write all ready-made pictures
    picture_bytes: int
    masks: Pace
    mask_bytes: float
    edits: Mapping[str, EditPace]  # by cell, "color feasible"
    training: TrainingPace


@dataclasses.dataclass(frozen=True)
class PartEstimate:
    """A part of the run, and its seconds: if every edit passes at once, at the measured rate, if none ever passes."""

    name: str
    least: float
    likely: float
    most: float


def mean_attempts(passed: float, most: int) -> float:
    """Return the mean number of attempts at an edit, each of which passes with this probability."""
    return sum((1 - passed) ** number for number in range(most))


def estimate_parts(
    params: Params, work: Workload, values: Mapping[str, int], measured: Calibration
) -> list[PartEstimate]:
    """Return the seconds of each part of a run that starts with nothing.

    Args:
        values: how many different values a cell's edits have, by cell.
    """
    photos, masks = sum(work.photos.values()), measured.masks
    estimates = [
        _sure("prepare", photos * measured.photo + measured.pictures),
        _sure("segment", masks.fixed + masks.seconds(work.photos["train"])),
    ]
    for cell, pace in measured.edits.items():
        once = pace.edits.seconds(work.edits_per_cell)
        before = pace.edits.fixed + pace.pictures.seconds(values[cell])
        attempts = (1.0, mean_attempts(pace.passed, work.max_attempts), work.max_attempts)
        estimates.append(PartEstimate(f"edit {cell}", *(before + each * once for each in attempts)))
    training, grid = measured.training, params.grid
    look = training.look + work.photos["val"] * training.look_image
    tuning = Pace(training.fixed, work.steps * training.step + work.looks * look, training.workers)
    cell = tuning.fixed + tuning.seconds(len(grid.sources) * len(grid.seeds))
    decoded = (work.photos["train"] + work.photos["val"] + work.edits) * training.decode_image
    baseline = tuning.fixed + tuning.seconds(len(grid.seeds))
    estimates.append(_sure("train, all cells", (work.training_processes - 1) * cell + baseline + decoded))
    predicted = Pace(training.fixed, training.look + work.photos["test"] * training.look_image, training.workers)
    seconds = predicted.fixed + predicted.seconds(work.models) + work.photos["test"] * training.decode_image
    return [*estimates, _sure("evaluate", seconds)]


def _sure(name: str, seconds: float) -> PartEstimate:
    return PartEstimate(name, seconds, seconds, seconds)


def estimate_disk(
    work: Workload, values: Mapping[str, int], measured: Calibration, save_rejected: bool
) -> dict[str, float]:
    """Return the bytes of a run: its results, and what .work/ keeps (at the measured rate of edits that pass).

    Rejected attempts among the results count with their priors, which are not there: at most twice too much.
    """
    edits, attempts, drawn = 0.0, 0.0, 0.0
    for cell, pace in measured.edits.items():
        size = work.edits_per_cell * pace.edit_bytes
        tried = size * mean_attempts(pace.passed, work.max_attempts)
        edits += tried if save_rejected else size
        attempts += tried
        drawn += values[cell] * pace.value_bytes
    photos = sum(work.photos.values())
    adapters = work.fine_tunings * measured.training.adapter_bytes
    prepared = photos * measured.photo_bytes + measured.picture_bytes + work.photos["train"] * measured.mask_bytes
    pixels = (photos + work.edits) * measured.training.image_bytes
    return {"results": prepared + edits + adapters, "work": attempts + drawn + pixels + adapters}


def estimate_findings(estimates: list[PartEstimate], needed: Mapping[str, float], passed: Mapping[str, float], free: int
                      ) -> list[Finding]:  # fmt: skip
    """Return the estimate as findings, with a total, and the disk against what is free."""
    total = PartEstimate(
        "all of these", *(sum(getattr(part, each) for part in estimates) for each in ("least", "likely", "most"))
    )
    rows = [
        Finding("estimate", part.name, "ok", _words(part), values={f"{k}_s": round(v, 3) for k, v in
                dataclasses.asdict(part).items() if k != "name"})
        for part in [*estimates, total]
    ]  # fmt: skip
    shares = ", ".join(f"{cell} {share:.0%}" for cell, share in passed.items())
    brackets = "" if total.least == total.most else "; the times in brackets: all edits pass at once, none ever passes"
    words = f"{shares}, of those tried here{brackets}"
    rows.append(Finding("estimate", "edits that pass", "ok", words, values=dict(passed)))
    return [*rows, _disk_finding(needed, free)]


def _disk_finding(needed: Mapping[str, float], free: int) -> Finding:
    least = needed["results"] + needed["work"]
    words = (
        f"{readable_bytes(needed['results'])} in data/ and models/, as much again in DVC's cache where the file system "
        f"cannot link files, {readable_bytes(needed['work'])} in .work/; {readable_bytes(free)} free here"
    )
    status: Status = "missing" if least > free else "note" if least + needed["results"] > free else "ok"
    remedy = None if status == "ok" else "free some, or set edit.save_priors and edit.save_rejected to false"
    return Finding("estimate", "disk", status, words, remedy, {**needed, "free_bytes": free})


def _words(part: PartEstimate) -> str:
    if part.least == part.most:
        return readable_seconds(part.likely)
    span = f"{readable_seconds(part.least)} to {readable_seconds(part.most)}"
    return f"{readable_seconds(part.likely)} ({span})"


def readable_seconds(seconds: float) -> str:
    """Return a time in the unit that suits it: ``readable_seconds(5400) == "1.5 h"``."""
    if seconds < 2 * MINUTE:
        return f"{seconds:.0f} s"
    return f"{seconds / MINUTE:.1f} min" if seconds < 2 * HOUR else f"{seconds / HOUR:.1f} h"
