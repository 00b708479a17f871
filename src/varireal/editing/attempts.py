"""Attempts at edits: what is there of each, how a worker makes and judges a batch, and the edits they become."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from varireal.base.files import decode_png, encode_png, json_bytes, read_image
from varireal.base.manifest import Status
from varireal.editing.jobs import EditJob
from varireal.store import Kept

if TYPE_CHECKING:
    from varireal.editing.drafts import Draft
    from varireal.editing.editors import Editor

IMAGE, PRIOR, MEASURED = "image.png", "prior.png", "measured.json"


@dataclasses.dataclass(frozen=True)
class FilterAnswer:
    """Holds a filter's answer to one edited picture."""

    accepted: bool
    scores: dict[str, float]  # as shown in the manifest
    quality: float  # ranks the attempts of an edit that never passes: the largest is kept


class EditFilter(Protocol):
    """Decides which edits count as good. Its models are loaded by ``load``, or else at the first call of ``check``."""

    @property
    def identity(self) -> dict[str, object]:
        """Return everything that decides an answer besides the picture and the job, as JSON values."""
        ...

    @property
    def thresholds(self) -> dict[str, float]:
        """Return the least score that passes, by question; empty for a filter that asks nothing."""
        ...

    def load(self) -> None:
        """Load the models now, and let them answer a blank picture.

        Raises:
            UserError: they cannot be loaded, or cannot answer.
        """
        ...

    def check(self, images: Sequence[np.ndarray], jobs: Sequence[EditJob]) -> list[FilterAnswer]:
        """Judge edited pictures, uint8 (H, W, 3), in the order of their jobs."""
        ...

    def worth_another(self, answer: FilterAnswer) -> bool:
        """Return whether an edit with this answer, which did not pass, may pass when it is painted again."""
        ...


@dataclasses.dataclass(frozen=True)
class Attempt:
    """Describes one try at a job as far as it is done; it goes to a worker and comes back complete."""

    job: EditJob
    number: int  # from 0
    seed: int
    key: str  # of the picture among the finished work
    answer_key: str  # of the filter's answer there
    answer: FilterAnswer | None = None
    note: str | None = None  # why it could not be made
    kept: Kept | None = dataclasses.field(default=None, compare=False)  # where the picture is
    kept_answer: Kept | None = dataclasses.field(default=None, compare=False)
    # the pictures on their way: one that was made before goes to the worker, those made now come back
    files: Mapping[str, bytes] = dataclasses.field(default_factory=dict, compare=False, repr=False)

    @property
    def done(self) -> bool:
        """Return whether nothing is left to do."""
        return self.note is not None or (self.kept is not None and self.answer is not None)

    @property
    def judged(self) -> FilterAnswer:
        """Return the filter's answer, once it is there."""
        assert self.answer is not None
        return self.answer


class EditWorker:
    """Makes and judges batches of attempts; its networks are loaded at the first call, in a worker of an engine."""

    def __init__(self, editor: Editor, edit_filter: EditFilter, keep_priors: bool) -> None:
        self._editor, self._filter, self._keep_priors = editor, edit_filter, keep_priors
        self._editor_loaded = self._filter_loaded = False

    def load(self, *, editor: bool) -> None:
        """Load the filter and, if asked, the editor, unless they are loaded.

        Raises:
            UserError: a checkpoint cannot be read or does not answer.
        """
        if not self._filter_loaded:  # a judge that cannot answer shall come to light before the first edit
            self._filter.load()
            self._filter_loaded = True
        if editor and not self._editor_loaded:
            self._editor.load()
            self._editor_loaded = True

    def judge_photos(self, items: Sequence[Attempt]) -> list[FilterAnswer]:
        """Return what the filter says of the photos as they are, asked as if they were the edits.

        Raises:
            UserError: a photo cannot be read.
        """
        jobs = [attempt.job for attempt in items]
        return self._filter.check([read_image(Path(job.photo.path)) for job in jobs], jobs)

    def __call__(self, items: Sequence[Attempt]) -> list[Attempt]:
        """Return every attempt with its answer; if one picture is missing, the batch is made anew.

        Pictures that exist stay: the files that come back are those of new pictures alone.

        Raises:
            UserError: a photo, picture or checkpoint cannot be read, or the device's memory does not hold the batch.
        """
        self.load(editor=any(IMAGE not in each.files for each in items))
        jobs = [attempt.job for attempt in items]
        pictures = {place: decode_png(each.files[IMAGE]) for place, each in enumerate(items) if IMAGE in each.files}
        made: dict[int, Draft] = {}
        if len(pictures) < len(items):
            drafts = self._editor.edit(jobs, [attempt.seed for attempt in items])
            made = {place: draft for place, draft in enumerate(drafts) if place not in pictures}
            pictures |= {place: draft.picture for place, draft in made.items()}
        # PNG takes the CPU while the filter's network has the GPU; the thread is gone before the batch is
        with ThreadPoolExecutor(max_workers=1) as encoder:
            encoded = {place: encoder.submit(self._encode, draft) for place, draft in made.items()}
            answers = self._filter.check([pictures[place] for place in range(len(items))], jobs)
            files = {place: each.result() for place, each in encoded.items()}
        return [
            dataclasses.replace(attempt, files=files.get(place, {}), answer=answer)
            for place, (attempt, answer) in enumerate(zip(items, answers))
        ]

    def _encode(self, draft: Draft) -> dict[str, bytes]:
        """Return the files of a draft."""
        prior = {PRIOR: encode_png(draft.prior)} if self._keep_priors else {}
        measured = {MEASURED: json_bytes(dict(draft.measured))} if draft.measured else {}
        return {IMAGE: encode_png(draft.picture), **prior, **measured}


@dataclasses.dataclass(frozen=True)
class Edit:
    """Joins a job and all its attempts: the last one was accepted, or none was, or one could not be made."""

    job: EditJob
    attempts: tuple[Attempt, ...] = ()  # that were made
    note: str | None = None  # why a further one could not be made

    @property
    def status(self) -> Status:
        if self.note is not None:
            return "failed"
        return "accepted" if self.attempts and self.attempts[-1].judged.accepted else "exhausted"

    def with_attempt(self, attempt: Attempt) -> Edit:
        """Return the same edit after one more attempt."""
        if attempt.note is not None:
            return dataclasses.replace(self, note=attempt.note)
        return dataclasses.replace(self, attempts=(*self.attempts, attempt))

    @property
    def chosen(self) -> Attempt:
        """Return the accepted attempt, or the best of an exhausted edit (the earliest of equals)."""
        if self.status == "accepted":
            return self.attempts[-1]
        return max(self.attempts, key=lambda attempt: attempt.judged.quality)


def attempts_json(edit: Edit, paths: Mapping[str, str], measured: Mapping[str, float | None] | None = None) -> str:
    """Return an edit's attempts as a manifest has them, with the paths of ``attempt-0`` and so on that are kept.

    Args:
        measured: what the editor found while it made the chosen one.
    """
    rows = []
    for attempt in edit.attempts:
        answer = attempt.judged
        rows.append({"seed": attempt.seed, "accepted": answer.accepted, "scores": answer.scores})
        if measured and attempt is edit.chosen:
            rows[-1]["measured"] = dict(measured)
        if (path := paths.get(f"attempt-{attempt.number}")) is not None:
            rows[-1]["path"] = path
    return json.dumps(rows, sort_keys=True)
