"""All edits of one cell: attempts in rounds, fixed batches, finished pictures kept by content key.

The batches of a round are cut from the sorted list of all its jobs, whatever is already there. A batch of which
anything is missing is made anew as a whole, and pictures that exist are kept. So a run that was killed and taken up
again computes the very batches that an undisturbed run computes, and ends with the same bytes.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from varireal.editing.editors import Editor
from varireal.editing.jobs import EditFilter, EditJob, Verdict
from varireal.editing.pictures import PictureSource
from varireal.errors import UserError
from varireal.io import encode_png, json_bytes, read_image, read_json
from varireal.manifest import Status
from varireal.progress import progress
from varireal.work import WorkStore, content_key, work_root

IMAGE, PRIOR, VERDICT = "image.png", "prior.png", "verdict.json"
SCORE_DECIMALS = 6


@dataclasses.dataclass(frozen=True)
class Attempt:
    """One picture made for a job, and what the filter said."""

    seed: int
    key: str
    verdict: Verdict


@dataclasses.dataclass(frozen=True)
class FinishedEdit:
    """A job with all its attempts: the last one was accepted, or none was."""

    job: EditJob
    attempts: tuple[Attempt, ...]

    @property
    def status(self) -> Status:
        return "accepted" if self.attempts[-1].verdict.accepted else "exhausted"

    @property
    def chosen(self) -> Attempt:
        """Return the accepted attempt, or the best of an exhausted edit (the earliest of equals)."""
        if self.status == "accepted":
            return self.attempts[-1]
        return max(self.attempts, key=lambda attempt: attempt.verdict.quality)


class EditRun:
    """Makes the edits of one cell."""

    def __init__(
        self,
        editor: Editor,
        edit_filter: EditFilter,
        pictures: PictureSource | None,
        *,
        max_attempts: int,
        batch_size: int,
        keep_priors: bool,
    ) -> None:
        self._editor = editor
        self._filter = edit_filter
        self._pictures = pictures
        self._max_attempts = max_attempts
        self._batch_size = batch_size
        self._keep_priors = keep_priors
        self._images = WorkStore("edit")
        self._verdicts = WorkStore("verdict")

    @property
    def settings(self) -> dict[str, Any]:
        """Return what every edit of the run was made and judged with, as JSON values."""
        return {**self._editor.identity, "filter": self._filter.identity, "max_attempts": self._max_attempts}

    def finish(self, jobs: Sequence[EditJob], description: str) -> list[FinishedEdit]:
        """Return every job with its attempts, in the jobs' order; what was finished earlier is not made again.

        Raises:
            UserError: a photo, picture or checkpoint cannot be read, or the disk is full.
        """
        if self._pictures:
            self._pictures.prepare([job.spec for job in jobs])
        attempts: dict[str, list[Attempt]] = {job.image_id: [] for job in jobs}
        pending = list(jobs)
        with progress(description, len(jobs)) as advance:
            for number in range(self._max_attempts):
                rejected: list[EditJob] = []
                for batch in _batches(pending, self._batch_size):
                    made = self._attempt(batch, number)
                    for job, attempt in zip(batch, made):
                        attempts[job.image_id].append(attempt)
                        if not attempt.verdict.accepted:
                            rejected.append(job)
                    last = number + 1 == self._max_attempts
                    advance(len(batch) if last else sum(attempt.verdict.accepted for attempt in made))
                pending = rejected
        return [FinishedEdit(job, tuple(attempts[job.image_id])) for job in jobs]

    def folder(self, attempt: Attempt) -> Path:
        """Return the folder with an attempt's ``image.png`` and, if they are kept, its ``prior.png``."""
        return self._stored(attempt.key)

    def _attempt(self, batch: Sequence[EditJob], number: int) -> list[Attempt]:
        seeds = [job.attempt_seed(number) for job in batch]
        keys = [self._image_key(job, seed) for job, seed in zip(batch, seeds)]
        if any(self._images.get(key) is None for key in keys):
            for key, draft in zip(keys, self._editor.edit(batch, seeds)):
                files = {IMAGE: encode_png(draft.picture)}
                if self._keep_priors:
                    files[PRIOR] = encode_png(draft.prior)
                self._images.put(key, files)
        verdicts = self._judge(batch, keys)
        return [Attempt(seed, key, verdict) for seed, key, verdict in zip(seeds, keys, verdicts)]

    def _judge(self, batch: Sequence[EditJob], image_keys: Sequence[str]) -> list[Verdict]:
        """Return the verdicts on stored pictures, in batches as fixed as those of the pictures."""
        keys = [self._verdict_key(job, key) for job, key in zip(batch, image_keys)]
        if any(self._verdicts.get(key) is None for key in keys):
            images = [read_image(self._stored(key) / IMAGE) for key in image_keys]
            for key, verdict in zip(keys, self._filter.check(images, batch)):
                scores = {name: round(score, SCORE_DECIMALS) for name, score in verdict.scores.items()}
                self._verdicts.put(
                    key, {VERDICT: json_bytes(dataclasses.asdict(dataclasses.replace(verdict, scores=scores)))}
                )
        return [Verdict(**read_json(_there(self._verdicts, key) / VERDICT)) for key in keys]

    def _stored(self, key: str) -> Path:
        return _there(self._images, key)

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
                "editor": self._editor.identity,
                "prior_kept": self._keep_priors,
            }
        )

    def _verdict_key(self, job: EditJob, image_key: str) -> str:
        return content_key(
            {
                "image": image_key,
                "class": job.photo.class_name,
                "attribute": job.attribute,
                "value": job.spec.name,
                "filter": self._filter.identity,
            }
        )


def _there(store: WorkStore, key: str) -> Path:
    folder = store.get(key)
    if folder is None:
        raise UserError(f"the finished item {key} vanished from {work_root()} while the stage ran; run it again")
    return folder


def _batches(jobs: Sequence[EditJob], size: int) -> Iterator[list[EditJob]]:
    remaining = iter(jobs)
    while batch := list(itertools.islice(remaining, size)):
        yield batch


def attempts_json(edit: FinishedEdit) -> str:
    """Return the attempts of an edit as they stand in the manifest."""
    return json.dumps(
        [
            {"seed": attempt.seed, "accepted": attempt.verdict.accepted, "scores": attempt.verdict.scores}
            for attempt in edit.attempts
        ],
        sort_keys=True,
    )
