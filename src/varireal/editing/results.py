"""What became of a job: its attempts, their verdicts, and which of them is kept."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping

from varireal.base.manifest import Status
from varireal.compute.engines import SetAside
from varireal.editing.jobs import EditJob, Verdict
from varireal.store import Kept


@dataclasses.dataclass(frozen=True)
class Attempt:
    """One picture made for a job, and what the filter said."""

    seed: int
    key: str
    verdict: Verdict
    kept: Kept | None = dataclasses.field(default=None, compare=False)  # where the picture is


@dataclasses.dataclass(frozen=True)
class FinishedEdit:
    """A job with all its attempts: the last one was accepted, or none was, or one could not be made."""

    job: EditJob
    attempts: tuple[Attempt, ...]
    note: str | None = None  # why an attempt could not be made

    @property
    def status(self) -> Status:
        if self.note is not None:
            return "failed"
        return "accepted" if self.attempts and self.attempts[-1].verdict.accepted else "exhausted"

    def with_attempt(self, attempt: Attempt | SetAside) -> FinishedEdit:
        """Return the same edit after one more attempt."""
        if isinstance(attempt, SetAside):
            return dataclasses.replace(self, note=attempt.note)
        return dataclasses.replace(self, attempts=(*self.attempts, attempt))

    @property
    def chosen(self) -> Attempt:
        """Return the accepted attempt, or the best of an exhausted edit (the earliest of equals)."""
        if self.status == "accepted":
            return self.attempts[-1]
        return max(self.attempts, key=lambda attempt: attempt.verdict.quality)


def attempts_json(edit: FinishedEdit, paths: Mapping[str, str]) -> str:
    """Return an edit's attempts as a manifest has them, with the paths of ``attempt-0`` and so on that are kept."""
    told = []
    for number, attempt in enumerate(edit.attempts):
        told.append({"seed": attempt.seed, "accepted": attempt.verdict.accepted, "scores": attempt.verdict.scores})
        if (path := paths.get(f"attempt-{number}")) is not None:
            told[-1]["path"] = path
    return json.dumps(told, sort_keys=True)
