"""`varireal edit`: the edits of one attribute and feasibility."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import click

from varireal import layout
from varireal.manifest import ATTRIBUTES, FEASIBILITIES
from varireal.stages.common import cell_option, stage_options

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np

    from varireal.config import Params
    from varireal.editing.jobs import JobPlan
    from varireal.editing.run import EditRun
    from varireal.engines import Engine
    from varireal.manifest import Attribute, Feasibility
    from varireal.prompts import AttributeSpec, PromptTable

logger = logging.getLogger(__name__)

# what workers import before their first batch, by method and filter
NETWORK_MODULES = {
    "diffusion": ("diffusers.pipelines.auto_pipeline",),
    "paste": (),
    "clip": ("open_clip",),
    "vqa": ("transformers.models.auto.modeling_auto",),
    "none": (),
}


@click.command("edit")
@stage_options
@cell_option("attribute", ATTRIBUTES, "What the edits change.")
@cell_option("feasibility", FEASIBILITIES, "Which kind of values they get.")
def command(params: Params, attribute: Attribute, feasibility: Feasibility) -> None:
    """Edit the training photos: another background, color or texture, and every other pixel as it was.

    Photos without a usable mask are left out and named in the metrics. Finished edits are kept by content key in
    .work/, so that a run that was stopped goes on where it was.
    """
    from varireal.editing.outputs import CellFigures, write_cell
    from varireal.io import staged_folder, write_json

    jobs, count, specs, run = plan_cell(params, attribute, feasibility)
    run.prepare(specs)
    for _ in run.finish(jobs, count, f"edit {attribute} {feasibility}"):
        pass  # all are finished before the first is written, so that a kill leaves no half of a cell behind
    counted = CellFigures(run.thresholds)
    final = layout.edit_folder(attribute, feasibility)
    with staged_folder(final) as staging:
        edits = run.finish(jobs, count, f"write {attribute} {feasibility}")
        write_cell(staging, final, run, counted.counting(edits), params.edit)
    figures = counted.result(jobs.failures)
    write_json(layout.METRICS / "edit" / f"{attribute}_{feasibility}.json", figures)
    logger.info("%s %s: %d edits, %d accepted", attribute, feasibility, figures["edits"], figures["accepted"])


def plan_cell(
    params: Params, attribute: Attribute, feasibility: Feasibility
) -> tuple[JobPlan, int, list[AttributeSpec], EditRun]:
    """Return a cell's jobs, how many there are at most, the values they use, and what makes them.

    Raises:
        UserError: the data, the prompts or a checkpoint are missing or wrong.
    """
    from varireal.editing.jobs import JobPlan
    from varireal.manifest import iterate_manifest
    from varireal.prompts import load_prompts

    table = load_prompts(layout.PROMPTS)
    jobs = JobPlan(
        lambda: iterate_manifest(layout.MASKS_MANIFEST),
        table,
        attribute=attribute,
        feasibility=feasibility,
        edits_per_photo=params.edit.edits_per_photo,
        seed=params.seed,
        region=background_region(params, feasibility) if attribute == "background" else None,
    )
    count, specs = jobs.survey()
    engine = build_engine(params, attribute)
    return jobs, count, specs, build_run(params, table, specs, attribute, feasibility, engine)


def background_region(params: Params, feasibility: Feasibility) -> Callable[[np.ndarray], np.ndarray] | None:
    """Return what tells how much of a photo is background beside the object as the recipe grows it.

    None where objects are not grown, or lengths are measured at a size that only the loaded checkpoint knows.
    """
    from varireal.editing.pixels import edited_region
    from varireal.editing.recipe import photo_scale

    dilation = params.edit.recipe("background", feasibility).dilation
    lengths_at = params.edit.lengths_at or params.edit.inpaint.image_size
    if dilation <= 0 or lengths_at is None:
        return None
    return lambda mask: edited_region("background", mask, dilation * photo_scale(mask, lengths_at))


def build_engine(params: Params, attribute: Attribute) -> Engine:
    """Return what the batches of a cell are spread with; its workers import what the cell's networks need."""
    from varireal.engines import ENGINES

    drawn = attribute != "color" and params.edit.prior.source == "text_to_image"
    networks = [params.edit.method, params.filter.name, *(["diffusion"] if drawn else [])]
    modules = sorted({module for name in networks for module in NETWORK_MODULES[name]})
    return ENGINES[params.compute.engine](params.compute, tuple(modules))


def build_run(
    params: Params,
    table: PromptTable,
    specs: Sequence[AttributeSpec],
    attribute: Attribute,
    feasibility: Feasibility,
    engine: Engine,
) -> EditRun:
    """Put the cell's editor, pictures and filter together, and check them; nothing expensive is loaded yet."""
    from pathlib import Path

    from varireal.editing import EDITORS
    from varireal.editing.inpaint import PictureMaker
    from varireal.editing.pictures import FolderPictures, GeneratedPictures, PictureSource
    from varireal.editing.run import EditRun
    from varireal.filtering import FILTERS

    config = params.edit
    compute = params.compute.model_copy(update={"device": engine.device()})
    pictures: PictureSource | None = None
    if attribute != "color" and config.prior.source == "pictures":
        pictures = FolderPictures(Path(config.prior.pictures or layout.PICTURES), attribute, feasibility)
    elif attribute != "color":
        steps = config.prior.material_steps if attribute == "texture" else None
        maker = PictureMaker(config.prior, compute, config.inpaint.batch_size, steps, config.memory)
        pictures = GeneratedPictures(maker, attribute, config.prior.bank_size, params.seed)
    if pictures:
        pictures.check(specs)
    return EditRun(
        EDITORS[config.method](config, config.recipe(attribute, feasibility), pictures, compute),
        FILTERS[params.filter.name](params.filter, compute, table),
        pictures,
        engine,
        max_attempts=params.filter.max_attempts,
        batch_size=config.inpaint.batch_size,
        keep_priors=config.save_priors,
    )


if __name__ == "__main__":
    from varireal.cli import run_command

    run_command(command)
