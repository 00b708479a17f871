"""`varireal measure`: how minimal the edits are, how they follow their prompts, how far they lie from real photos."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import click

from varireal import paths
from varireal.cli import stage_options

if TYPE_CHECKING:
    from varireal.config import Params
    from varireal.measuring.plan import Measure, Task
    from varireal.store.folders import WorkStore

logger = logging.getLogger(__name__)


@click.command()
@stage_options
def command(params: Params) -> None:
    """Measure the edits of every cell that training may use, and write metrics/measure.json.

    How much they change their photos inside and outside of the region they may change (SSIM, PSNR, pixels), how they
    follow their prompts (CLIP score), how far they lie from the real photos (CMMD), how diverse they are. Finished
    cells are kept by content key in .work/. docs/measures.md says what each figure means.
    """
    from varireal.base.files import write_json
    from varireal.measuring.plan import plan_measuring
    from varireal.measuring.summary import cell_figures, photo_figures, read_photos
    from varireal.store.folders import WorkStore

    how, train, val, cells, counts = plan_measuring(params)
    store = WorkStore("measure")
    _measure_missing(how, [train, val, *cells.values()], store)

    real = read_photos(store, train)
    found = {cell: cell_figures(store, task, counts[cell], real) for cell, task in cells.items()}
    nested = {a: {f: found[a, f] for f in params.grid.feasibilities} for a in params.grid.attributes}
    real_figures = photo_figures(real, val and read_photos(store, val))
    write_json(paths.MEASURED, {"real": real_figures, "cells": nested})
    for (attribute, feasibility), figures in found.items():
        logger.info("%s %s: %s", attribute, feasibility, figures)


def _measure_missing(how: Measure, tasks: list[Task | None], store: WorkStore) -> None:
    """Measure what is not kept from an earlier run, in as many processes as the cores allow."""
    from varireal.compute.devices import resolve_device
    from varireal.compute.processes import run_side_by_side, warm_up, worker_plan
    from varireal.compute.progress import progress

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
