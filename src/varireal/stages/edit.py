"""`varireal edit`: the edits of one attribute and feasibility."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import click

from varireal import layout
from varireal.manifest import ATTRIBUTES, FEASIBILITIES
from varireal.stages.common import apply_compute, cell_option, stage_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from varireal.config import Params
    from varireal.editing.jobs import EditJob
    from varireal.editing.run import EditRun
    from varireal.manifest import Attribute, Feasibility
    from varireal.prompts import PromptTable

logger = logging.getLogger(__name__)


@click.command("edit")
@stage_options
@cell_option("attribute", ATTRIBUTES, "What the edits change.")
@cell_option("feasibility", FEASIBILITIES, "Which kind of values they get.")
def command(params: Params, attribute: Attribute, feasibility: Feasibility) -> None:
    """Edit the training photos: another background, color or texture, and every other pixel as it was.

    Photos without a usable mask are left out and named in the metrics. Finished edits are kept by content key in
    .work/, so that a run that was stopped goes on where it was.
    """
    from varireal.editing.jobs import plan_jobs
    from varireal.editing.outputs import cell_metrics, write_cell
    from varireal.io import staged_folder, write_json
    from varireal.manifest import read_manifest
    from varireal.prompts import load_prompts

    table = load_prompts(layout.PROMPTS)
    jobs, failures = plan_jobs(
        read_manifest(layout.MASKS_MANIFEST),
        table,
        attribute=attribute,
        feasibility=feasibility,
        edits_per_photo=params.edit.edits_per_photo,
        seed=params.seed,
    )
    run = _build_run(params, table, jobs, attribute, feasibility)
    apply_compute(params)
    edits = run.finish(jobs, f"edit {attribute} {feasibility}")
    final = layout.edit_folder(attribute, feasibility)
    with staged_folder(final) as staging:
        write_cell(staging, final, run, edits)
    figures = cell_metrics(edits, failures)
    write_json(layout.METRICS / "edit" / f"{attribute}_{feasibility}.json", figures)
    logger.info("%s %s: %d edits, %d accepted", attribute, feasibility, figures["edits"], figures["accepted"])


def _build_run(
    params: Params, table: PromptTable, jobs: Sequence[EditJob], attribute: Attribute, feasibility: Feasibility
) -> EditRun:
    """Put the cell's editor, pictures and filter together, and check them; nothing expensive is loaded yet."""
    from pathlib import Path

    from varireal.editing import EDITORS
    from varireal.editing.inpaint import PictureMaker
    from varireal.editing.pictures import FolderPictures, GeneratedPictures, PictureSource
    from varireal.editing.run import EditRun
    from varireal.filtering import FILTERS

    config, compute = params.edit, params.compute
    pictures: PictureSource | None = None
    if attribute != "color" and config.prior.source == "pictures":
        pictures = FolderPictures(Path(config.prior.pictures or layout.PICTURES), attribute, feasibility)
    elif attribute != "color":
        maker = PictureMaker(config.prior, compute, config.inpaint.batch_size)
        pictures = GeneratedPictures(maker, attribute, config.prior.bank_size, params.seed)
    if pictures:
        pictures.check(job.spec for job in jobs)
    return EditRun(
        EDITORS[config.method](config, config.recipes[attribute][feasibility], pictures, compute),
        FILTERS[params.filter.name](params.filter, compute, table),
        pictures,
        max_attempts=params.filter.max_attempts,
        batch_size=config.inpaint.batch_size,
        keep_priors=config.save_priors,
    )


if __name__ == "__main__":
    from varireal.cli import run_command

    run_command(command)
