"""Watching the edits of a cell while they are made, so that a run that cannot end well ends before its bill is paid."""

from __future__ import annotations

from collections import Counter

from varireal.base.manifest import usable
from varireal.compute.engines import check_set_aside
from varireal.editing.attempts import Edit
from varireal.editing.jobs import JobPlan
from varireal.errors import UserError


class CellWatch:
    """Counts the settled edits of each class, and those that training may use."""

    def __init__(self, cell: str, jobs: JobPlan, *, include_exhausted: bool, max_set_aside: float) -> None:
        """Take jobs that have been surveyed, and what the settings of `mix` and `compute` allow."""
        self._cell, self._jobs = cell, jobs
        self._include_exhausted, self._max_set_aside = include_exhausted, max_set_aside
        self._settled: Counter[str] = Counter()
        self._usable: Counter[str] = Counter()
        self.set_aside: list[str] = []  # why edits could not be made

    def check_photos(self) -> None:
        """Check that every class has a photo to edit.

        Raises:
            UserError: one has none, so that no training set can be mixed.
        """
        for name in self._jobs.classes:
            if self._jobs.count(name) == 0:
                raise UserError(
                    f"class {name!r} has no photo that can be edited in the cell {self._cell}, so mix could not be "
                    "served; metrics/segment.json says what is wrong with its masks: change segment, or leave it out"
                )

    def settle(self, edit: Edit) -> None:
        """Count an edit about which nothing more is done.

        Raises:
            UserError: it was the last one of a class of which not one is usable, or too many cannot be made.
        """
        name = edit.job.photo.class_name
        self._settled[name] += 1
        self._usable[name] += len(usable([edit], self._include_exhausted))
        if edit.note is not None:
            self.set_aside.append(f"{edit.job.image_id}, {edit.note}")
            everything = sum(self._jobs.count(each) for each in self._jobs.classes)
            check_set_aside(self.set_aside, everything, self._max_set_aside, f"edits of the cell {self._cell}")
        if self._settled[name] >= self._jobs.count(name) and not self._usable[name]:
            raise UserError(
                f"class {name!r} has no usable edit among its {self._settled[name]} of the cell {self._cell}, so mix "
                "could not be served; lower the thresholds of filter, set filter.rule to mean or "
                "mix.include_exhausted to true, or give the class other values; what is finished is kept"
            )
