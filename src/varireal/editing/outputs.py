"""The outputs of a cell, written as its edits get done: pictures and a manifest in a folder, and figures."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from varireal.base.files import sha256_bytes
from varireal.base.manifest import ImageRecord, manifest_writer
from varireal.editing.attempts import IMAGE, MEASURED, PRIOR, Edit, attempts_json
from varireal.editing.jobs import Failure
from varireal.editing.run import EditRun
from varireal.editing.storage import STORAGES

if TYPE_CHECKING:
    from varireal.config import EditConfig


def write_cell(
    staging: Path, final: Path, run: EditRun, edits: Iterable[Edit], config: EditConfig
) -> dict[str, float | None]:
    """Write the chosen pictures, their priors and, if asked, the rejected ones into ``staging``, with the manifest.

    Return the means of what the editor measured, such as what it changed outside of the region before that was undone.

    The manifest's paths say ``final``. Edits that could not be made are left out. Those of a photo must come together.

    Raises:
        UserError: the disk is full or not writable, or a finished picture vanished.
    """
    settings = json.dumps(run.settings, sort_keys=True)
    found: dict[str, list[float]] = {}
    with STORAGES[config.storage](staging, config) as store, manifest_writer(staging / "manifest.parquet") as add:
        for _, of_photo in itertools.groupby(edits, key=lambda edit: edit.job.photo.image_id):
            made = [edit for edit in of_photo if edit.status != "failed"]
            for edit in sorted(made, key=lambda edit: edit.job.image_id):  # "-10" comes before "-2"
                files = run.files(edit.chosen)
                measured = json.loads(files.get(MEASURED, b"{}"))
                for name, value in measured.items():
                    found.setdefault(name, []).extend([] if value is None else [value])
                pictures = _pictures(edit, run, files, config.save_rejected)
                stored = store(f"{edit.job.photo.image_id}-{edit.job.index}", pictures)
                paths = {kind: (final / path).as_posix() for kind, path in stored.items()}
                add(_record(edit, paths, sha256_bytes(pictures["image"]), settings, measured))
    return {f"mean_{name}": _mean(values) for name, values in sorted(found.items())}


def _mean(values: Sequence[float]) -> float | None:
    return round(sum(values) / len(values), 4) if values else None


def _pictures(edit: Edit, run: EditRun, files: Mapping[str, bytes], save_rejected: bool) -> dict[str, bytes]:
    """Return the pictures of an edit that are stored, by kind; the files are those of its chosen attempt."""
    pictures = {"image": files[IMAGE]}
    if PRIOR in files:
        pictures["prior"] = files[PRIOR]
    if save_rejected:
        for attempt in edit.attempts:
            if attempt.seed != edit.chosen.seed:
                pictures[f"attempt-{attempt.number}"] = run.files(attempt)[IMAGE]
    return pictures


class CellFigures:
    """Counts the edits of a cell: how many passed the filter, in how many attempts, and what failed."""

    def __init__(self, thresholds: Mapping[str, float]) -> None:
        """Take the filter's questions and their least scores that pass."""
        self._thresholds = dict(sorted(thresholds.items()))
        self._counts: Counter[str] = Counter()
        self._passed: Counter[str] = Counter()  # first attempts, by question
        self._scores = dict.fromkeys(self._thresholds, 0.0)  # of first attempts, added up
        self._values: Counter[str] = Counter()
        self._accepted_values: Counter[str] = Counter()
        self._broken: dict[str, str | None] = {}

    def counting(self, edits: Iterable[Edit]) -> Iterator[Edit]:
        """Pass the edits on and count them on their way."""
        for edit in edits:
            self._count(edit)
            yield edit

    def _count(self, edit: Edit) -> None:
        if edit.status == "failed":
            self._broken[edit.job.image_id] = edit.note
            return
        first, accepted = edit.attempts[0].judged, edit.status == "accepted"
        self._counts.update(edits=1, accepted=accepted, attempts=len(edit.attempts), first=first.accepted)
        for name, least in self._thresholds.items():
            self._passed[name] += first.scores[name] >= least
            self._scores[name] += first.scores[name]
        self._values[edit.job.spec.name] += 1
        self._accepted_values[edit.job.spec.name] += accepted

    def result(self, failures: Sequence[Failure]) -> dict[str, Any]:
        """Return the figures of what was counted, as JSON values.

        ``pass_rate`` is the share of edits that some attempt got past the filter, ``first_pass_rate`` of those that
        the first did; both are null where nothing was edited. ``first_pass_rate_by_question`` and
        ``first_mean_score_by_question`` take the filter's questions one by one. They count first attempts only:
        later ones exist for what was rejected before. ``failed_edits`` says why single edits could not be made; they
        count nowhere else.
        """
        count, accepted = self._counts["edits"], self._counts["accepted"]
        return {
            "edits": count,
            "accepted": accepted,
            "exhausted": count - accepted,
            "failed": len(failures),
            "failed_photos": {failure.photo_id: failure.note for failure in failures},
            "failed_edits": self._broken,
            "pass_rate": _share(accepted, count),
            "first_pass_rate": _share(self._counts["first"], count),
            "first_pass_rate_by_question": {name: _share(self._passed[name], count) for name in self._thresholds},
            "first_mean_score_by_question": {name: _share(self._scores[name], count) for name in self._thresholds},
            "mean_attempts": _share(self._counts["attempts"], count),
            "pass_rate_by_value": {
                name: _share(self._accepted_values[name], self._values[name]) for name in sorted(self._values)
            },
        }


def _share(part: float, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _record(
    edit: Edit, paths: Mapping[str, str], sha256: str, settings: str, measured: Mapping[str, float | None]
) -> ImageRecord:
    job, photo = edit.job, edit.job.photo
    return ImageRecord(
        image_id=job.image_id,
        path=paths["image"],
        origin="edit",
        split="train",
        class_name=photo.class_name,
        class_index=photo.class_index,
        width=photo.width,
        height=photo.height,
        sha256=sha256,
        photo_id=photo.image_id,
        status=edit.status,
        photo_path=photo.path,
        mask_path=photo.mask_path,
        prior_path=paths.get("prior"),
        attribute=job.attribute,
        feasibility=job.feasibility,
        value=job.spec.name,
        prompt=job.prompt,
        index=job.index,
        seed=edit.chosen.seed,
        attempts=attempts_json(edit, paths, measured),
        settings=settings,
        key=edit.chosen.key,
    )
