"""All edits of one cell: attempts in rounds, fixed batches, finished pictures kept by content key.

The jobs come in order and are worked through in stretches of some thousands. The batches of a round are cut from the
list of all its jobs in the stretch, whatever is already there. A batch of which anything is missing is made anew as a
whole, and pictures that exist are kept. So a run that was killed and taken up again computes the very batches that an
undisturbed run computes, and ends with the same bytes. Edits that a preview made share no batch with the others, so
that none of them is painted twice.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from varireal.compute.engines import Engine, Pool, SetAside
from varireal.compute.progress import progress
from varireal.editing.ahead import AheadEdits
from varireal.editing.attempts import IMAGE, MEASURED, PRIOR, Attempt, Edit, EditFilter, EditWorker
from varireal.editing.editors import Editor
from varireal.editing.jobs import EditJob
from varireal.editing.kept import ANSWER, answer_bytes, joined, with_picture
from varireal.editing.pictures import PictureSource
from varireal.errors import UserError
from varireal.store import BatchStore, content_key, work_root

if TYPE_CHECKING:
    from pathlib import Path

    from varireal.prompts import AttributeSpec

REVISION = 2  # raised when the same job and editor give another picture
ANSWER_REVISION = 1  # raised when the same picture and filter give another answer
STRETCH = 2**13  # jobs, whose attempts are in memory; batches never reach over its end


class EditRun:
    """Makes the edits of one cell."""

    def __init__(
        self,
        editor: Editor,
        edit_filter: EditFilter,
        pictures: PictureSource | None,
        engine: Engine,
        *,
        max_attempts: int,
        batch_size: int,
        keep_priors: bool,
    ) -> None:
        self._editor = editor
        self._filter = edit_filter
        self._pictures = pictures
        self._engine = engine
        self._max_attempts = max_attempts
        self._batch_size = batch_size
        self._keep_priors = keep_priors
        self._notes: dict[tuple[str, int], str] = {}  # why attempts could not be made, by job and number
        self._images = BatchStore("edit")
        self._answers = BatchStore("verdict")

    @functools.cached_property
    def settings(self) -> dict[str, Any]:
        """Return what every edit of the run was made and judged with, as JSON values."""
        editor, edit_filter = self._identities
        return {**editor, "filter": edit_filter, "max_attempts": self._max_attempts}

    @property
    def _stretch_size(self) -> int:
        return max(1, STRETCH // self._batch_size) * self._batch_size

    @property
    def thresholds(self) -> dict[str, float]:
        """Return the filter's least score that passes, by question."""
        return self._filter.thresholds

    def prepare(self, specs: Iterable[AttributeSpec]) -> None:
        """Make the pictures that edits with these values start from, where they are missing.

        Raises:
            UserError: a checkpoint cannot be read, or the disk is full.
            Interrupted: a signal asked to end; what is finished is kept.
        """
        if self._pictures:
            self._pictures.prepare(specs, self._engine)

    def finish(
        self, jobs: Iterable[EditJob], count: int, description: str, on_settled: Callable[[Edit], None] | None = None
    ) -> Iterator[Edit]:
        """Yield every job with its attempts, in the jobs' order; what was finished earlier is not made again.

        What could not be made is not tried again by the same run, but by the next one.

        Args:
            jobs: drawn as they are needed, a stretch at a time.
            count: how many there are at most, for the progress.
            on_settled: gets every edit as soon as nothing more is done about it; what it raises ends the run.

        Raises:
            UserError: a photo, picture or checkpoint cannot be read, or the disk is full.
            Interrupted: a signal asked to end; what is finished is kept.
        """
        self._images.refresh()  # what the same run stored may lie in packs of parts of batches
        self._answers.refresh()
        worker = EditWorker(self._editor, self._filter, self._keep_priors)
        with (
            progress(description, count) as advance,
            self._engine.open(worker, math.ceil(count / self._batch_size)) as pool,
        ):
            for part in _batches(jobs, self._stretch_size):
                yield from self._stretch(pool, part, advance, on_settled or (lambda edit: None))

    def finished(self, jobs: Iterable[EditJob], specs: Iterable[AttributeSpec]) -> Iterator[Path]:
        """Yield the files in which finished attempts at the jobs lie, and the pictures that they start from.

        They are what :meth:`finish` would find; nothing is made.
        """
        if self._pictures:
            yield from self._pictures.finished(specs)
        for stretch in _batches(jobs, self._stretch_size):
            pending = stretch
            for number in range(self._max_attempts):
                attempts = [each for batch in self._cut(pending) for each in self._find(batch, number)]
                for attempt in attempts:
                    yield from (kept.path for kept in (attempt.kept, attempt.kept_answer) if kept is not None)
                pending = [each.job for each in attempts if each.answer is None or self._worth_another(each)]

    def _stretch(
        self,
        pool: Pool[Attempt, Attempt],
        jobs: Sequence[EditJob],
        advance: Callable[[int], None],
        on_settled: Callable[[Edit], None],
    ) -> list[Edit]:
        """Return the jobs with all their attempts: in each round one at every job that no attempt has ended."""
        edits = {job.image_id: Edit(job) for job in jobs}
        pending = jobs
        for number in range(self._max_attempts):
            last = number + 1 == self._max_attempts

            def record(attempts: Sequence[Attempt], last: bool = last) -> None:
                for attempt in attempts:
                    edit = edits[attempt.job.image_id].with_attempt(attempt)
                    edits[attempt.job.image_id] = edit
                    if last or not self._open(edit):
                        advance(1)
                        on_settled(edit)

            self._round(pool, pending, number, record)
            pending = [job for job in pending if self._open(edits[job.image_id])]
        return list(edits.values())

    def _open(self, edit: Edit) -> bool:
        """Return whether a further attempt at an edit may help."""
        return edit.status == "exhausted" and self._worth_another(edit.attempts[-1])

    def _worth_another(self, attempt: Attempt) -> bool:
        return not attempt.judged.accepted and self._filter.worth_another(attempt.judged)

    def files(self, attempt: Attempt) -> dict[str, bytes]:
        """Return an attempt's ``image.png`` and, if they are kept, its ``prior.png`` and ``measured.json``.

        Raises:
            UserError: it vanished from the folder of finished work.
        """
        try:
            files = {name: attempt.kept.read(name) for name in (IMAGE, PRIOR, MEASURED)} if attempt.kept else {}
        except OSError:
            files = {}
        if files.get(IMAGE) is None:
            raise UserError(
                f"the finished item {attempt.key} vanished from {work_root()} while the stage ran; run it again"
            )
        return {name: data for name, data in files.items() if data is not None}

    def _round(
        self,
        pool: Pool[Attempt, Attempt],
        jobs: Sequence[EditJob],
        number: int,
        record: Callable[[Sequence[Attempt]], None],
    ) -> None:
        """Do an attempt at every job, and pass on each batch as soon as it is stored."""
        sent: list[list[Attempt]] = []

        def unfinished() -> Iterator[list[Attempt]]:
            for batch in self._cut(jobs):
                attempts = self._find(batch, number)
                if all(attempt.done for attempt in attempts):
                    record(attempts)
                else:
                    sent.append(attempts)
                    yield [with_picture(attempt) for attempt in attempts]

        for place, results in pool.run(unfinished()):
            attempts, sent[place] = sent[place], []
            record(self._keep(attempts, results))

    def _cut(self, jobs: Sequence[EditJob]) -> Iterator[list[EditJob]]:
        """Cut jobs of one cell into batches: first those of each preview, then all others."""
        if not jobs:
            return
        groups = self.ahead(jobs[0]).groups()
        places = {image_id: place for place, group in enumerate(groups) for image_id in group}
        parts: list[list[EditJob]] = [[] for _ in range(len(groups) + 1)]
        for job in jobs:
            parts[places.get(job.image_id, -1)].append(job)
        for part in parts:
            yield from _batches(part, self._batch_size)

    def ahead(self, job: EditJob) -> AheadEdits:
        """Return the record of what previews made of the job's cell."""
        return AheadEdits(self._identities[0], job.attribute, job.feasibility, job.run_seed)

    def _find(self, jobs: Sequence[EditJob], number: int) -> list[Attempt]:
        """Return an attempt at each job of a batch, with what is there of it already."""
        attempts = []
        for job in jobs:
            seed = job.attempt_seed(number)
            key = self._image_key(job, seed)
            note = self._notes.get((job.image_id, number))
            attempts.append(Attempt(job, number, seed, key, self._answer_key(job, key), note=note))
        answers = self._answers.find([attempt.answer_key for attempt in attempts])
        images = self._images.find([attempt.key for attempt in attempts])
        return [joined(*each) for each in zip(attempts, images, answers)]

    def _keep(self, attempts: Sequence[Attempt], results: Sequence[Attempt | SetAside]) -> list[Attempt]:
        """Store a batch that a worker did; what was stored first, here or by another run, is what counts."""
        images: dict[str, Mapping[str, bytes]] = {}
        answers: dict[str, Mapping[str, bytes]] = {}
        for attempt, result in zip(attempts, results):
            if isinstance(result, SetAside):
                self._notes[attempt.job.image_id, attempt.number] = result.note
                continue
            if attempt.kept is None:
                images[attempt.key] = result.files
            if attempt.kept_answer is None:
                answers[attempt.answer_key] = {ANSWER: answer_bytes(result.judged)}
        stored = {kept.key: kept for kept in [*self._images.put(images), *self._answers.put(answers)]}
        return [
            dataclasses.replace(
                joined(attempt, stored.get(attempt.key), stored.get(attempt.answer_key)),
                note=self._notes.get((attempt.job.image_id, attempt.number)),
            )
            for attempt in attempts
        ]

    def _image_key(self, job: EditJob, seed: int) -> str:
        return content_key(
            {
                "revision": REVISION,
                "photo": job.photo.sha256,
                "mask": job.mask_sha256,
                "attribute": job.attribute,
                "value": job.spec.model_dump(mode="json"),
                "prompt": job.prompt,
                "pictures": self._pictures.identity(job.spec) if self._pictures else None,
                "seed": seed,
                "editor": self._identities[0],
                "prior_kept": self._keep_priors,
            }
        )

    def _answer_key(self, job: EditJob, image_key: str) -> str:
        return content_key(
            {
                "revision": ANSWER_REVISION,
                "image": image_key,
                "class": job.photo.class_name,
                "attribute": job.attribute,
                "feasibility": job.feasibility,
                "value": job.spec.name,
                "filter": self._identities[1],
            }
        )

    @functools.cached_property
    def _identities(self) -> tuple[dict[str, object], dict[str, object]]:
        return self._editor.identity, self._filter.identity


def _batches(jobs: Iterable[EditJob], size: int) -> Iterator[list[EditJob]]:
    remaining = iter(jobs)
    while batch := list(itertools.islice(remaining, size)):
        yield batch
