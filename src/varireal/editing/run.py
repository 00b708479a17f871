"""All edits of one cell: attempts in rounds, fixed batches, finished pictures kept by content key.

The jobs come in order and are worked through in stretches of some thousands. The batches of a round are cut from the
list of all its jobs in the stretch, whatever is already there. A batch of which anything is missing is made anew as a
whole, and pictures that exist are kept. So a run that was killed and taken up again computes the very batches that an
undisturbed run computes, and ends with the same bytes.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from varireal.base.files import json_bytes
from varireal.compute.engines import Engine, Pool, SetAside
from varireal.compute.progress import progress
from varireal.editing.editors import Editor
from varireal.editing.jobs import EditFilter, EditJob, Verdict
from varireal.editing.pictures import PictureSource
from varireal.editing.results import Attempt, FinishedEdit
from varireal.editing.worker import IMAGE, PRIOR, EditItem, EditWorker, MadeEdit
from varireal.errors import UserError
from varireal.store import BatchStore, Kept, content_key, work_root

if TYPE_CHECKING:
    from pathlib import Path

    from varireal.prompts import AttributeSpec

VERDICT = "verdict.json"
SCORE_DECIMALS = 6
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
        self._set_aside: dict[tuple[str, int], SetAside] = {}  # by job and attempt
        self._images = BatchStore("edit")
        self._verdicts = BatchStore("verdict")

    @functools.cached_property
    def settings(self) -> dict[str, Any]:
        """Return what every edit of the run was made and judged with, as JSON values."""
        return {**self._editor.identity, "filter": self._filter.identity, "max_attempts": self._max_attempts}

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

    def finish(self, jobs: Iterable[EditJob], count: int, description: str) -> Iterator[FinishedEdit]:
        """Yield every job with its attempts, in the jobs' order; what was finished earlier is not made again.

        What could not be made is not tried again by the same run, but by the next one.

        Args:
            jobs: drawn as they are needed, a stretch at a time.
            count: how many there are at most, for the progress.

        Raises:
            UserError: a photo, picture or checkpoint cannot be read, or the disk is full.
            Interrupted: a signal asked to end; what is finished is kept.
        """
        self._images.refresh()  # what the same run stored may lie in packs of parts of batches
        self._verdicts.refresh()
        worker = EditWorker(self._editor, self._filter, self._keep_priors)
        with (
            progress(description, count) as advance,
            self._engine.open(worker, math.ceil(count / self._batch_size)) as pool,
        ):
            for part in _batches(jobs, self._stretch_size):
                yield from self._stretch(pool, part, advance)

    def finished(self, jobs: Iterable[EditJob], specs: Iterable[AttributeSpec]) -> Iterator[Path]:
        """Yield the files in which finished attempts at the jobs lie, and the pictures that they start from.

        They are what :meth:`finish` would find; nothing is made.
        """
        if self._pictures:
            yield from self._pictures.finished(specs)
        for stretch in _batches(jobs, self._stretch_size):
            pending = stretch
            for number in range(self._max_attempts):
                further = []
                for batch in _batches(pending, self._batch_size):
                    for each in self._tries(batch, number):
                        yield from (kept.path for kept in (each.image, each.verdict) if kept is not None)
                        if each.verdict is None or not _read_verdict(each.verdict).accepted:
                            further.append(each.job)
                pending = further

    def _stretch(
        self, pool: Pool[EditItem, MadeEdit], jobs: Sequence[EditJob], advance: Callable[[int], None]
    ) -> list[FinishedEdit]:
        """Return the jobs with all their attempts: in each round one at every job that no attempt has ended."""
        edits = {job.image_id: FinishedEdit(job, ()) for job in jobs}
        pending = jobs
        for number in range(self._max_attempts):
            last = number + 1 == self._max_attempts

            def record(tries: Sequence[_Try], last: bool = last) -> None:
                for each in tries:
                    edits[each.job.image_id] = edits[each.job.image_id].with_attempt(each.result())
                advance(sum(last or edits[each.job.image_id].status != "exhausted" for each in tries))

            self._round(pool, pending, number, record)
            pending = [job for job in pending if edits[job.image_id].status == "exhausted"]
        return list(edits.values())

    def files(self, attempt: Attempt) -> dict[str, bytes]:
        """Return an attempt's ``image.png`` and, if they are kept, its ``prior.png``.

        Raises:
            UserError: it vanished from the folder of finished work.
        """
        try:
            found = {name: attempt.kept.read(name) for name in (IMAGE, PRIOR)} if attempt.kept else {}
        except OSError:
            found = {}
        if found.get(IMAGE) is None:
            raise UserError(
                f"the finished item {attempt.key} vanished from {work_root()} while the stage ran; run it again"
            )
        return {name: data for name, data in found.items() if data is not None}

    def _round(
        self,
        pool: Pool[EditItem, MadeEdit],
        jobs: Sequence[EditJob],
        number: int,
        record: Callable[[Sequence[_Try]], None],
    ) -> None:
        """Do an attempt at every job, and pass on each batch as soon as it is stored."""
        sent: list[list[_Try]] = []

        def unfinished() -> Iterator[list[EditItem]]:
            for batch in _batches(jobs, self._batch_size):
                tries = self._tries(batch, number)
                if all(each.done for each in tries):
                    record(tries)
                else:
                    sent.append(tries)
                    yield [EditItem(each.job, each.seed, each.image and each.image.read(IMAGE)) for each in tries]

        for place, results in pool.run(unfinished()):
            tries, sent[place] = sent[place], []
            self._keep(tries, results)
            record(tries)

    def _tries(self, jobs: Sequence[EditJob], number: int) -> list[_Try]:
        """Return an attempt at each job of a batch, with what is there of it already."""
        tries = []
        for job in jobs:
            seed = job.attempt_seed(number)
            key = self._image_key(job, seed)
            aside = self._set_aside.get((job.image_id, number))
            tries.append(_Try(job, number, seed, key, self._verdict_key(job, key), set_aside=aside))
        verdicts = self._verdicts.find([each.verdict_key for each in tries])
        for each, image, verdict in zip(tries, self._images.find([each.key for each in tries]), verdicts):
            each.image, each.verdict = image, verdict
        return tries

    def _keep(self, tries: Sequence[_Try], made: Sequence[MadeEdit | SetAside]) -> None:
        """Store the attempts of a batch; what was stored first, here or by another run, is what counts."""
        images: dict[str, dict[str, bytes]] = {}
        verdicts: dict[str, dict[str, bytes]] = {}
        for each, result in zip(tries, made):
            if isinstance(result, SetAside):
                each.set_aside = self._set_aside[each.job.image_id, each.number] = result
                continue
            if each.image is None:
                images[each.key] = result.files
            if each.verdict is None:
                verdicts[each.verdict_key] = {VERDICT: _verdict_bytes(result.verdict)}
        stored = {kept.key: kept for kept in self._images.put(images)}
        judged = {kept.key: kept for kept in self._verdicts.put(verdicts)}
        for each in tries:
            each.image = each.image or stored.get(each.key)
            each.verdict = each.verdict or judged.get(each.verdict_key)

    def _image_key(self, job: EditJob, seed: int) -> str:
        return content_key(
            {
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

    def _verdict_key(self, job: EditJob, image_key: str) -> str:
        return content_key(
            {
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


@dataclasses.dataclass
class _Try:
    """An attempt at a job on its way: what is stored of it, or that it was set aside."""

    job: EditJob
    number: int
    seed: int
    key: str
    verdict_key: str
    image: Kept | None = None
    verdict: Kept | None = None
    set_aside: SetAside | None = None

    @property
    def done(self) -> bool:
        return self.set_aside is not None or (self.image is not None and self.verdict is not None)

    def result(self) -> Attempt | SetAside:
        """Return what became of it, once it is done."""
        if self.set_aside is not None:
            return self.set_aside
        assert self.image is not None and self.verdict is not None
        return Attempt(self.seed, self.key, _read_verdict(self.verdict), self.image)


def _verdict_bytes(verdict: Verdict) -> bytes:
    scores = {name: round(score, SCORE_DECIMALS) for name, score in verdict.scores.items()}
    return json_bytes(dataclasses.asdict(dataclasses.replace(verdict, scores=scores)))


def _read_verdict(kept: Kept) -> Verdict:
    return Verdict(**json.loads(kept.read(VERDICT) or b""))


def _batches(jobs: Iterable[EditJob], size: int) -> Iterator[list[EditJob]]:
    remaining = iter(jobs)
    while batch := list(itertools.islice(remaining, size)):
        yield batch
