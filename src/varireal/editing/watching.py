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

    def __init__(
        self,
        cell: str,
        jobs: JobPlan,
        *,
        images_per_class: int | None,
        include_exhausted: bool,
        max_set_aside: float,
    ) -> None:
        """Take jobs that have been surveyed, and what the settings of `mix` and `compute` ask for and allow."""
        self._cell, self._jobs = cell, jobs
        self._images_per_class = images_per_class
        self._include_exhausted, self._max_set_aside = include_exhausted, max_set_aside
        self._settled: Counter[str] = Counter()
        self._usable: Counter[str] = Counter()
        self.set_aside: list[str] = []  # why edits could not be made

    def check_photos(self) -> None:
        """Check that every class has photos for the edits that `mix` takes of it.

        Raises:
            UserError: one has not, so that no training set can be mixed.
        """
        for name in self._jobs.classes:
            if self._jobs.count(name) == 0:
                raise UserError(
                    f"class {name!r} has no photo that can be edited in the cell {self._cell}, so mix could not be "
                    "served; metrics/segment.json says what is wrong with its masks: change segment, or leave it out"
                )
            self._check_served(name)

    def settle(self, edit: Edit) -> None:
        """Count an edit about which nothing more is done.

        Raises:
            UserError: its class can no longer get as many usable ones as `mix` takes, or too many cannot be made.
        """
        name = edit.job.photo.class_name
        self._settled[name] += 1
        self._usable[name] += len(usable([edit], self._include_exhausted))
        if edit.note is not None:
            self.set_aside.append(f"{edit.job.image_id}, {edit.note}")
            everything = sum(self._jobs.count(each) for each in self._jobs.classes)
            check_set_aside(self.set_aside, everything, self._max_set_aside, f"edits of the cell {self._cell}")
        self._check_served(name)

    def _check_served(self, name: str) -> None:
        """Check that the usable edits of a class and those still to come are enough for `mix`."""
        jobs, settled, usable = self._jobs.count(name), self._settled[name], self._usable[name]
        possible = usable + jobs - settled
        if possible >= (self._images_per_class or 1):
            return
        loosen = "lower the thresholds of filter, set filter.rule to mean or mix.include_exhausted to true"
        if self._images_per_class is None:
            raise UserError(
                f"class {name!r} has no usable edit among its {settled} of the cell {self._cell}, so mix could not be "
                f"served; {loosen}, or give the class other values; what is finished is kept"
            )
        remedy = "raise edit.edits_per_photo" if settled == usable or self._include_exhausted else loosen
        raise UserError(
            f"class {name!r} can have no more than {possible} usable edits of {jobs} in the cell {self._cell}, but "
            f"mix.images_per_class = {self._images_per_class}; lower mix.images_per_class or set it to null, or "
            f"{remedy}; what is finished is kept"
        )
