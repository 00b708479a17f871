"""`varireal measure`: how minimal the edits are, how they follow their prompts, how far they lie from real photos."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import click

from varireal import layout
from varireal.stages.common import stage_options

if TYPE_CHECKING:
    from varireal.config import Params
    from varireal.measuring.plan import Measure, Task
    from varireal.work import WorkStore

logger = logging.getLogger(__name__)


@click.command()
@stage_options
def command(params: Params) -> None:
    """Measure the edits of every cell that training may use, and write metrics/measure.json.

    How much they change their photos inside and outside of the region they may change (SSIM, PSNR, pixels), how they
    follow their prompts (CLIP score), how far they lie from the real photos (CMMD), how diverse they are. Finished
    cells are kept by content key in .work/. docs/measures.md says what each figure means.
    """
    from varireal.io import write_json
    from varireal.measuring.summary import cell_figures, photo_figures, read_photos
    from varireal.work import WorkStore

    how, train, val, cells, counts = plan(params)
    store = WorkStore("measure")
    _measure_missing(how, [train, val, *cells.values()], store)

    real = read_photos(store, train)
    found = {cell: cell_figures(store, task, counts[cell], real) for cell, task in cells.items()}
    nested = {a: {f: found[a, f] for f in params.grid.feasibilities} for a in params.grid.attributes}
    real_figures = photo_figures(real, val and read_photos(store, val))
    write_json(layout.MEASURED, {"real": real_figures, "cells": nested})
    for (attribute, feasibility), figures in found.items():
        logger.info("%s %s: %s", attribute, feasibility, figures)


def plan(
    params: Params,
) -> tuple[Measure, Task, Task | None, dict[tuple[str, str], Task | None], dict[tuple[str, str], int]]:
    """Return how and what is measured: photos of the splits train and val, and every cell's edits and their number.

    Raises:
        UserError: photos, edits or masks are missing.
    """
    from varireal.errors import UserError
    from varireal.manifest import read_manifest
    from varireal.measuring.plan import Measure, edits_task, photos_task, sample
    from varireal.mixing.choose import usable

    how = Measure(params.measure.network(params.clip), params.compute, params.measure.batch_size)
    photos = {photo.image_id: photo for photo in read_manifest(layout.PHOTOS_MANIFEST)}
    train, val = (photos_task(how, [p for p in photos.values() if p.split == split]) for split in ("train", "val"))
    if train is None:
        raise UserError("the data set has no photo in the split train; give it some (dataset.train_* in params.yaml)")
    cells: dict[tuple[str, str], Task | None] = {}
    counts = {}
    for attribute in params.grid.attributes:
        for feasibility in params.grid.feasibilities:
            rows = read_manifest(layout.edit_folder(attribute, feasibility) / "manifest.parquet")
            edits = usable(rows, params.mix.include_exhausted)
            chosen = sample(edits, params.measure.edits_per_cell, params.seed)
            counts[attribute, feasibility] = len(edits)
            cells[attribute, feasibility] = edits_task(how, chosen, photos)
    return how, train, val, cells, counts


def _measure_missing(how: Measure, tasks: list[Task | None], store: WorkStore) -> None:
    """Measure what is not kept from an earlier run, in as many processes as the cores allow."""
    from varireal.devices import resolve_device
    from varireal.processes import run_side_by_side, warm_up, worker_plan
    from varireal.progress import progress

    missing = list({task.key: task for task in tasks if task and store.get(task.key) is None}.values())
    logger.info("%d of %d sets of pictures to measure", len(missing), len(tasks))
    if not missing:
        return
    warm_up("varireal.measuring.work")
    workers, threads = worker_plan(resolve_device(how.compute).type == "cpu", how.compute.num_threads, len(missing))
    missing.sort(key=lambda task: -len(task.pictures))  # so that all are done at about the same time
    shares = [(how, missing[k::workers], store, threads) for k in range(workers)]
    with progress("measure", sum(len(task.pictures) for task in missing)) as advance:
        run_side_by_side("varireal.measuring.work:measure", shares, advance)


if __name__ == "__main__":
    from varireal.cli import run_command

    run_command(command)
