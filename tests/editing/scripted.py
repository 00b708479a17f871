"""A filter that follows a script, and runs of edits that it judges."""

from __future__ import annotations

import numpy as np

from varireal.editing.attempts import Edit, FilterAnswer
from varireal.editing.filters import FILTERS
from varireal.editing.jobs import EditJob, Failure
from varireal.editing.outputs import CellFigures
from varireal.editing.run import EditRun

IDS = [f"jet/{k}#background-infeasible-0" for k in range(5)]


class Script:
    """A filter that follows a script: the number of the attempt from which on an edit is accepted."""

    def __init__(self, accepted_from: dict[str, int], name: str = "script", qualities: tuple[float, ...] = ()) -> None:
        self.identity = {"name": name}
        self.thresholds = {"attribute": 0.05}
        self._accepted_from = accepted_from
        self._qualities = qualities
        self.seen: dict[str, int] = {}
        self.batches: list[list[str]] = []

    def load(self) -> None: ...

    def worth_another(self, answer: FilterAnswer) -> bool:
        return answer.quality > -1

    def check(self, images: list[np.ndarray], jobs: list[EditJob]) -> list[FilterAnswer]:
        self.batches.append([job.image_id for job in jobs])
        verdicts = []
        for job in jobs:
            attempt = self.seen.get(job.image_id, 0)
            self.seen[job.image_id] = attempt + 1
            quality = self._qualities[attempt] if self._qualities else 0.0
            verdicts.append(
                FilterAnswer(attempt >= self._accepted_from[job.image_id], {"attribute": 0.1 * attempt}, quality)
            )
        return verdicts


def no_filter():
    return FILTERS["none"](None, None, None)


def finish(run: EditRun, jobs: list[EditJob]) -> list[Edit]:
    return list(run.finish(jobs, len(jobs), "test"))


def pictures(run: EditRun, edits: list[Edit]) -> list[bytes]:
    return [run.files(edit.chosen)["image.png"] for edit in edits]


def figures_of(edits: list[Edit], failures: list[Failure], thresholds: dict[str, float]) -> dict:
    counted = CellFigures(thresholds)
    assert list(counted.counting(edits)) == edits
    return counted.result(failures)
