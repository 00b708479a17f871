"""A cell of edits: its jobs, and everything that makes and judges them, put together from the settings."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from varireal import paths
from varireal.base.manifest import Attribute, Feasibility, ImageRecord, iterate_manifest
from varireal.compute.engines import ENGINES, Engine
from varireal.editing import EDITORS
from varireal.editing.drafts import photo_scale
from varireal.editing.filters import FILTERS
from varireal.editing.inpaint import PictureMaker
from varireal.editing.jobs import JobPlan, Wording
from varireal.editing.outputs import CellFigures, write_cell
from varireal.editing.pictures import FolderPictures, GeneratedPictures, PictureSource
from varireal.editing.pixels import edited_region
from varireal.editing.run import EditRun
from varireal.editing.watching import CellWatch
from varireal.prompts import AttributeSpec, PromptTable, load_prompts

if TYPE_CHECKING:
    import numpy as np

    from varireal.config import ComputeConfig, EditConfig, Params

logger = logging.getLogger(__name__)

# what workers import before their first batch, by method and filter
NETWORK_MODULES = {
    "diffusion": ("diffusers.pipelines.auto_pipeline",),
    "instruct": ("diffusers.pipelines.auto_pipeline",),
    "paste": (),
    "clip": ("open_clip",),
    "vqa": ("transformers.models.auto.modeling_auto",),
    "none": (),
}


class PlannedCell(NamedTuple):
    """Holds the jobs of a cell and what makes and judges them."""

    jobs: JobPlan
    most: int  # jobs there are at most
    specs: list[AttributeSpec]  # the values they use
    run: EditRun
    watch: CellWatch

    def make(self, name: str) -> None:
        """Make and judge the edits that are not finished yet, and keep them as finished work.

        Raises:
            UserError: a photo, picture or checkpoint cannot be read, the disk is full, too many edits cannot be made,
                or a class can get fewer usable ones than `mix` takes.
            Interrupted: a signal asked to end; what is finished is kept.
        """
        self.watch.check_photos()
        self.run.prepare(self.specs)
        for _ in self.run.finish(self.jobs, self.most, f"edit {name}", self.watch.settle):
            pass
        self.watch.check_photos()  # now that masks were looked at, too
        if left_out := self.watch.set_aside:
            logger.warning("edit %s: %d edits could not be made (the first: %s)", name, len(left_out), left_out[0])

    def write(self, name: str, staging: Path, final: Path, config: EditConfig) -> dict[str, Any]:
        """Write pictures and manifest into ``staging``, whose later path is ``final``; return the cell's figures.

        Raises:
            UserError: as for :meth:`make`.
        """
        figures = CellFigures(self.run.thresholds)
        edits = self.run.finish(self.jobs, self.most, f"write {name}")
        measured = write_cell(staging, final, self.run, figures.counting(edits), config)
        return {**figures.result(self.jobs.failures), **measured}


def plan_jobs(
    params: Params,
    table: PromptTable,
    photos: Callable[[], Iterator[ImageRecord]],
    attribute: Attribute,
    feasibility: Feasibility,
    edits_per_photo: int | None = None,
) -> JobPlan:
    """Return the edits that the settings ask for of some photos; ``edits_per_photo`` None: as many as they say."""
    return JobPlan(
        photos,
        table,
        attribute=attribute,
        feasibility=feasibility,
        edits_per_photo=edits_per_photo or params.edit.edits_per_photo,
        seed=params.seed,
        region=background_region(params, feasibility) if attribute == "background" else None,
        least_change=params.edit.recipe(attribute, feasibility).least_change,
        match_strength=params.edit.match_strength,
    )


def plan_cell(params: Params, attribute: Attribute, feasibility: Feasibility) -> PlannedCell:
    """Return a cell's jobs and what makes them; nothing expensive is loaded yet.

    Raises:
        UserError: the data, the prompts or a checkpoint are missing or wrong.
    """
    table = load_prompts(paths.PROMPTS)
    jobs = plan_jobs(params, table, lambda: iterate_manifest(paths.MASKS_MANIFEST), attribute, feasibility)
    most, specs = jobs.survey()
    engine = build_engine(params, attribute)
    run = build_run(params, table, specs, attribute, feasibility, engine, jobs.wordings)
    watch = CellWatch(
        f"{attribute} {feasibility}",
        jobs,
        images_per_class=params.mix.images_per_class,
        include_exhausted=params.mix.include_exhausted,
        max_set_aside=params.compute.max_set_aside,
    )
    return PlannedCell(jobs, most, specs, run, watch)


def background_region(params: Params, feasibility: Feasibility) -> Callable[[np.ndarray], np.ndarray] | None:
    """Return what tells how much of a photo is background beside the object as the recipe grows it.

    None where objects are not grown, or lengths are measured at a size that only the loaded checkpoint knows.
    """
    dilation = params.edit.recipe("background", feasibility).dilation
    lengths_at = params.edit.lengths_at or params.edit.inpaint.image_size
    if dilation <= 0 or lengths_at is None:
        return None
    return lambda mask: edited_region("background", mask, dilation * photo_scale(mask, lengths_at))


def build_engine(params: Params, attribute: Attribute) -> Engine:
    """Return what the batches of a cell are spread with; its workers import what the cell's networks need."""
    needed = attribute != "color" and EDITORS[params.edit.method].priors
    drawn = needed and params.edit.prior.source == "text_to_image"
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
    wordings: Sequence[Wording] = (),
) -> EditRun:
    """Put the cell's editor, pictures and filter together, and check them; nothing expensive is loaded yet.

    Args:
        wordings: of all edits that will be asked for, where they are known.

    Raises:
        UserError: a picture or a checkpoint is missing or wrong.
    """
    config = params.edit
    compute = params.compute.model_copy(update={"device": engine.device()})
    needed = attribute != "color" and EDITORS[config.method].priors
    pictures = _picture_source(params, compute, attribute, feasibility) if needed else None
    if pictures:
        pictures.check(specs)
    editor = EDITORS[config.method](config, config.recipe(attribute, feasibility), pictures, compute)
    editor.check(specs)
    editor.expect(wordings)
    return EditRun(
        editor,
        FILTERS[params.filter.name](params.filter, compute, table),
        pictures,
        engine,
        max_attempts=params.filter.max_attempts,
        batch_size=config.inpaint.batch_size,
        keep_priors=config.save_priors,
    )


def _picture_source(
    params: Params, compute: ComputeConfig, attribute: Attribute, feasibility: Feasibility
) -> PictureSource:
    """Return where the pictures of places or materials come from."""
    config = params.edit
    if config.prior.source == "pictures":
        return FolderPictures(Path(config.prior.pictures or paths.PICTURES), attribute, feasibility)
    material = attribute == "texture"
    steps = config.prior.material_steps if material else None
    negative = config.prior.material_negative if material else ""
    maker = PictureMaker(config.prior, compute, config.inpaint.batch_size, steps, config.memory, negative)
    return GeneratedPictures(maker, attribute, config.prior.bank_size, params.seed)
