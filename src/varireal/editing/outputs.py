"""The outputs of a cell: pictures and a manifest in a folder, and figures."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from varireal.editing.jobs import Failure
from varireal.editing.run import IMAGE, PRIOR, EditRun, FinishedEdit, attempts_json
from varireal.io import sha256_file
from varireal.manifest import ImageRecord, write_manifest


def write_cell(staging: Path, final: Path, run: EditRun, edits: Sequence[FinishedEdit]) -> None:
    """Copy the chosen pictures and their priors into ``staging`` and write the manifest, whose paths say ``final``."""
    settings = json.dumps(run.settings, sort_keys=True)
    records = []
    for edit in edits:
        source = run.folder(edit.chosen)
        name = f"{edit.job.photo.image_id}-{edit.job.index}.png"
        picture = _copy(source / IMAGE, staging / "images" / name)
        prior = None
        if (source / PRIOR).is_file():
            _copy(source / PRIOR, staging / "priors" / name)
            prior = (final / "priors" / name).as_posix()
        records.append(_record(edit, (final / "images" / name).as_posix(), prior, sha256_file(picture), settings))
    write_manifest(staging / "manifest.parquet", records)


def cell_metrics(edits: Sequence[FinishedEdit], failures: Sequence[Failure]) -> dict[str, Any]:
    """Return the figures of a cell: how many edits passed the filter, in how many attempts, and what failed.

    ``pass_rate`` is the share of edits that some attempt got past the filter, ``first_pass_rate`` of those that
    the first did; both are null where nothing was edited.
    """
    accepted = [edit for edit in edits if edit.status == "accepted"]
    by_value: defaultdict[str, list[bool]] = defaultdict(list)
    for edit in edits:
        by_value[edit.job.spec.name].append(edit.status == "accepted")
    return {
        "edits": len(edits),
        "accepted": len(accepted),
        "exhausted": len(edits) - len(accepted),
        "failed": len(failures),
        "failed_photos": {failure.photo_id: failure.note for failure in failures},
        "pass_rate": _share(len(accepted), len(edits)),
        "first_pass_rate": _share(sum(edit.attempts[0].verdict.accepted for edit in edits), len(edits)),
        "mean_attempts": _share(sum(len(edit.attempts) for edit in edits), len(edits)),
        "pass_rate_by_value": {name: _share(sum(passed), len(passed)) for name, passed in sorted(by_value.items())},
    }


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _copy(source: Path, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copyfile(source, target))


def _record(edit: FinishedEdit, path: str, prior: str | None, sha256: str, settings: str) -> ImageRecord:
    job, photo = edit.job, edit.job.photo
    return ImageRecord(
        image_id=job.image_id,
        path=path,
        origin="edit",
        split="train",
        class_name=photo.class_name,
        class_index=photo.class_index,
        width=photo.width,
        height=photo.height,
        sha256=sha256,
        photo_id=photo.image_id,
        status=edit.status,
        mask_path=photo.mask_path,
        prior_path=prior,
        attribute=job.attribute,
        feasibility=job.feasibility,
        value=job.spec.name,
        prompt=job.prompt,
        index=job.index,
        seed=edit.chosen.seed,
        attempts=attempts_json(edit),
        settings=settings,
        key=edit.chosen.key,
    )
