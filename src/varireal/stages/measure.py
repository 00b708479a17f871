"""`varireal measure`: how minimal the edits are, how they follow their prompts, how far they lie from real photos."""

from __future__ import annotations

import dataclasses

import click

from varireal import paths
from varireal.base.files import write_json
from varireal.cli import stage_options
from varireal.compute.missing import finish, missing_pieces
from varireal.config import Params
from varireal.measuring.plan import plan_measuring
from varireal.measuring.summary import measure_figures
from varireal.measuring.work import NETWORK_MODULES, MeasuringWorker
from varireal.store import FolderStore


@click.command()
@stage_options
def command(params: Params) -> None:
    """Measure the edits of every cell that training may use, and write metrics/measure.json.

    How much they change their photos inside and outside of the region they may change (SSIM, PSNR, pixels), how they
    follow their prompts (CLIP score), how far they lie from the real photos (CMMD), how diverse they are. Finished
    cells are kept by content key in .work/. docs/measures.md says what each figure means.
    """
    plan, store = plan_measuring(params), FolderStore("measure")
    missing = missing_pieces(plan.groups, store, "%d of %d sets of pictures to measure")
    finish(
        missing,
        store,
        lambda compute: MeasuringWorker(dataclasses.replace(plan.how, compute=compute)),
        params.compute,
        NETWORK_MODULES,
        "measure",
    )
    write_json(paths.MEASURED, measure_figures(plan, store))
