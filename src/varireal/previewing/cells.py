"""One edit of each chosen photo in a cell, made as the stage `edit` makes it and kept for that stage."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from varireal.base.files import read_image, read_mask
from varireal.base.manifest import Attribute, Feasibility, ImageRecord, read_manifest
from varireal.editing.attempts import Edit, FilterAnswer
from varireal.editing.cell import build_engine, build_run, plan_jobs
from varireal.editing.jobs import Failure
from varireal.editing.outputs import write_cell
from varireal.measuring.change import kept_share
from varireal.measuring.strength import Strength, measure_strength
from varireal.previewing.notes import remembered
from varireal.previewing.probe import Measured, ProbedEngine

if TYPE_CHECKING:
    from varireal.config import Params
    from varireal.editing.run import EditRun
    from varireal.prompts import PromptTable


@dataclasses.dataclass(frozen=True)
class PreviewedEdit:
    """An edit of the preview, with what it did to its photo."""

    edit: Edit
    strength: Strength | None  # of the chosen attempt; None where the edit could not be made
    unedited: FilterAnswer | None  # what the filter says of the photo as it is

    @property
    def made(self) -> bool:
        return self.strength is not None


@dataclasses.dataclass(frozen=True)
class PreviewedCell:
    """What a preview made and measured of one cell."""

    attribute: Attribute
    feasibility: Feasibility
    thresholds: dict[str, float]  # the filter's least scores, by question
    edits: list[PreviewedEdit]
    failures: list[Failure]  # photos that cannot be edited
    records: list[ImageRecord]  # of the edits, whose pictures lie in the folder of the preview
    painted: Measured
    drawn: Measured  # pictures of values
    attempt_bytes: float
    value_bytes: float

    @property
    def name(self) -> str:
        return f"{self.attribute} {self.feasibility}"

    @property
    def made(self) -> list[PreviewedEdit]:
        """Return the edits that could be made."""
        return [each for each in self.edits if each.made]

    @property
    def accepted(self) -> int:
        return sum(each.edit.status == "accepted" for each in self.made)

    @property
    def attempts(self) -> int:
        return sum(len(each.edit.attempts) for each in self.made)

    @property
    def passed(self) -> float:
        """Return the share of attempts that the filter accepted."""
        return self.accepted / self.attempts if self.attempts else 0.0


def preview_cell(
    params: Params,
    table: PromptTable,
    photos: Sequence[ImageRecord],
    attribute: Attribute,
    feasibility: Feasibility,
    folder: Path,
) -> PreviewedCell:
    """Make the first edit of every photo with all its attempts, and write its pictures below ``folder``.

    Raises:
        UserError: a photo, picture or checkpoint cannot be read, or the disk is full.
        Interrupted: a signal asked to end; what is finished is kept.
    """
    plan = plan_jobs(params, table, lambda: iter(photos), attribute, feasibility)
    jobs = [job for job in plan if job.index == 0]
    specs = list(dict.fromkeys(job.spec for job in jobs))
    engine = ProbedEngine(build_engine(params, attribute))
    wordings = list(dict.fromkeys(job.wording for job in jobs))
    run = build_run(params, table, specs, attribute, feasibility, engine, wordings)
    run.prepare(specs)
    settings = {
        "run": run.settings,
        "cell": [attribute, feasibility],
        "compute": params.compute.model_dump(mode="json"),
    }
    drawn = remembered("pictures", settings, engine.take())
    if jobs:
        run.ahead(jobs[0]).add(job.image_id for job in jobs)
    edits = list(run.finish(jobs, len(jobs), f"preview {attribute} {feasibility}"))
    painted = remembered("edits", settings, engine.take())
    config = params.edit.model_copy(update={"save_rejected": True, "storage": "files"})
    folder.mkdir(parents=True)
    write_cell(folder, folder, run, edits, config)
    records = read_manifest(folder / "manifest.parquet")
    by_id = {record.image_id: record for record in records}
    return PreviewedCell(
        attribute=attribute,
        feasibility=feasibility,
        thresholds=run.thresholds,
        edits=[_measured(by_id.get(each.job.image_id), each, painted.photos.get(each.job.image_id)) for each in edits],
        failures=plan.failures,
        records=records,
        painted=painted,
        drawn=drawn,
        attempt_bytes=_attempt_bytes(run, edits),
        value_bytes=sum(file.stat().st_size for path in run.finished((), specs) for file in path.iterdir())
        / max(1, len(specs)),
    )


def _measured(record: ImageRecord | None, edit: Edit, unedited: FilterAnswer | None) -> PreviewedEdit:
    """Compare an edit with its photo; one that could not be made has no picture to compare."""
    if record is None or edit.status == "failed":
        return PreviewedEdit(edit, None, unedited)
    before, after = read_image(Path(str(record.photo_path))), read_image(Path(record.path))
    mask = read_mask(Path(str(record.mask_path)))
    kept = kept_share(record, before, mask)
    return PreviewedEdit(edit, measure_strength(edit.job.attribute, before, after, mask, kept), unedited)


def _attempt_bytes(run: EditRun, edits: Sequence[Edit]) -> float:
    """Return the mean size of an attempt's files."""
    sizes = [
        sum(map(len, run.files(attempt).values()))
        for edit in edits
        if edit.status != "failed"
        for attempt in edit.attempts
    ]
    return sum(sizes) / len(sizes) if sizes else 0.0
