"""What the whole run will take, and the chance that `mix` can be served, from what a preview measured."""

from __future__ import annotations

import dataclasses
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from varireal import paths
from varireal.base.files import read_json, write_json
from varireal.base.manifest import SPLITS, ImageRecord
from varireal.compute.devices import resolve_device
from varireal.doctor.calibration import count_values, time_training_apart
from varireal.doctor.estimate import (
    Calibration,
    EditPace,
    Pace,
    TrainingPace,
    estimate_disk,
    estimate_findings,
    estimate_parts,
)
from varireal.doctor.parts import worker_count
from varireal.doctor.workload import count_workload
from varireal.previewing.chance import served_chance
from varireal.previewing.notes import note_path

if TYPE_CHECKING:
    from varireal.config import Params
    from varireal.doctor.findings import Finding
    from varireal.previewing.cells import PreviewedCell
    from varireal.previewing.sample import FoundMasks
    from varireal.prompts import PromptTable


def forecast_run(
    params: Params,
    table: PromptTable,
    photos: Sequence[ImageRecord],
    masks: FoundMasks,
    cells: Sequence[PreviewedCell],
) -> list[Finding]:
    """Return time by stage, and disk, of a run that starts with nothing; a few steps of training are run for it.

    Args:
        photos: all of them, as prepared.

    Raises:
        UserError: training cannot be tried.
    """
    work = count_workload(params, {split: sum(p.split == split for p in photos) for split in SPLITS})
    workers = worker_count(params.compute, resolve_device(params.compute).type)
    shown = [photo for photo in masks.photos if photo.mask_path]
    files = [Path(path) for photo in shown for path in (photo.path, photo.mask_path) if path]
    measured = Calibration(
        photo=0.0,  # prepared already
        photo_bytes=sum(file.stat().st_size for file in files) / max(1, len(shown)),
        pictures=0.0,
        picture_bytes=sum(file.stat().st_size for file in paths.PICTURES.rglob("*.png")),
        masks=Pace(masks.measured.loading, masks.measured.per_item, workers, params.segment.batch_size),
        mask_bytes=0.0,  # counted with their photos
        edits={cell.name: _pace(params, cell, workers) for cell in cells},
        training=_training(params, table, photos),
    )
    named = [(photo.image_id, photo.class_name) for photo in photos if photo.split == "train"]
    values = {cell.name: count_values(params, table, cell.attribute, cell.feasibility, named) for cell in cells}
    needed = estimate_disk(work, values, measured, params.edit.save_rejected)
    passed = {cell.name: cell.passed for cell in cells}
    parts = estimate_parts(params, work, values, measured)
    return estimate_findings(parts, needed, passed, shutil.disk_usage(Path()).free)


def mix_chance(params: Params, photos: Sequence[ImageRecord], masks: FoundMasks, cell: PreviewedCell) -> float | None:
    """Return the chance that every class has enough usable edits of a cell; None where nothing was tried."""
    if not cell.made:
        return None
    usable = 1 - len(masks.failed) / len(masks.photos)
    train = Counter(photo.class_name for photo in photos if photo.split == "train")
    edits = [max(1, int(count * usable)) * params.edit.edits_per_photo for count in train.values()]
    needed = params.mix.images_per_class or 1
    if params.mix.include_exhausted:
        return float(min(edits) >= needed)
    return served_chance(cell.accepted, len(cell.made), edits, needed)


def _pace(params: Params, cell: PreviewedCell, workers: int) -> EditPace:
    edits = Pace(cell.painted.loading, cell.painted.per_item, workers, params.edit.inpaint.batch_size)
    pictures = Pace(0.0, cell.drawn.per_item, workers)
    return EditPace(edits, pictures, cell.passed, cell.attempt_bytes, cell.value_bytes)


def _training(params: Params, table: PromptTable, photos: Sequence[ImageRecord]) -> TrainingPace:
    """Return the pace of training, which is measured once for the same settings."""
    parts = ("train", "clip", "compute", "grid", "seed")
    note = note_path("training", params.model_dump(mode="json", include=set(parts)))
    if not note.is_file():
        chosen = [photo for photo in photos if photo.split == "train"]
        pace = time_training_apart(params, chosen[:: max(1, len(chosen) // 8)][:8], table)
        write_json(note, dataclasses.asdict(pace))
    return TrainingPace(**read_json(note))
