"""How fast edits are made: against a plain loop, and against the networks' forward passes alone.

Needs the photos, prompts and masks of the study (`dvc repro prompt segment`); networks, recipes and steps are those of
params.yaml, with priors drawn by its text-to-image model and one attempt an edit.

    python benchmarks/edits.py

The plain loop does what one writes first, and what the study's code does: one edit after the other with all cores, and
the mask, the prior and the sentences' embeddings anew for each. Both take turns, cell after cell.
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from varireal import paths
from varireal.base.files import json_bytes
from varireal.base.manifest import Attribute, Feasibility, ImageRecord, iterate_manifest
from varireal.compute.processes import available_cores
from varireal.config import ComputeConfig, Params, load_params
from varireal.editing.cell import build_engine, build_run
from varireal.editing.editors import DiffusionEditor
from varireal.editing.filters import FILTERS
from varireal.editing.inpaint import PictureMaker
from varireal.editing.jobs import EditJob, JobPlan
from varireal.editing.pipelines import Pipeline
from varireal.prompts import AttributeSpec, PromptTable, load_prompts
from varireal.prompts.templates import Sentence, material_prompt, place_prompt
from varireal.segmentation import SEGMENTERS

Cell = tuple[Attribute, Feasibility]
CELLS: tuple[Cell, ...] = (("background", "infeasible"), ("color", "feasible"), ("texture", "infeasible"))
ALL_CELLS = 6  # of the study, which share a photo's mask
PARTS = ("unet", "controlnet", "text_encoder", "text_encoder_2", "image_encoder")
Times = dict[str, float]


class FreshPrior:
    """Draws the picture that a prior is made from anew for every edit."""

    def __init__(self, attribute: Attribute, params: Params, compute: ComputeConfig) -> None:
        prior = params.edit.prior
        self._maker = PictureMaker(prior, compute, 1, prior.material_steps if attribute == "texture" else None)
        self._prompt = place_prompt if attribute == "background" else material_prompt

    def pick(self, spec: AttributeSpec, rng: np.random.Generator) -> np.ndarray:
        """Return a new picture of the value."""
        return self._maker.make([Sentence(self._prompt(spec.phrase))], [int(rng.integers(2**32))])[0]


class PlainLoop:
    """One edit after the other; nothing but the loaded networks is kept between them."""

    def __init__(self, params: Params, table: PromptTable, attribute: Attribute, feasibility: Feasibility) -> None:
        compute = params.compute.model_copy(update={"device": "cpu"})
        recipe = params.edit.recipe(attribute, feasibility)
        with recorded() as self._pipelines:
            pictures = None if attribute == "color" else FreshPrior(attribute, params, compute)
            self._editor = DiffusionEditor(params.edit, recipe, pictures, compute)
        self._filter: Any = FILTERS[params.filter.name](params.filter, compute, table)
        self._segmenter = SEGMENTERS[params.segment.source](params.segment, compute, params.dataset.domain_word)

    def edit(self, job: EditJob) -> None:
        """Make and judge one edit."""
        self._segmenter.segment([job.photo])
        for pipeline in self._pipelines:
            pipeline.__dict__.pop("_embedder", None)
        (draft,) = self._editor.edit([job], [job.attempt_seed(0)])
        self._filter._encoded.clear()
        self._filter.check([draft.picture], [job])


@contextmanager
def recorded() -> Iterator[list[Pipeline]]:
    """Yield the list of the diffusion pipelines that are built in the block."""
    built: list[Pipeline] = []
    original = Pipeline.__init__

    def record(self: Pipeline, *arguments: Any, **named: Any) -> None:
        original(self, *arguments, **named)
        built.append(self)

    Pipeline.__init__ = record  # type: ignore[method-assign]
    try:
        yield built
    finally:
        Pipeline.__init__ = original  # type: ignore[method-assign]


@contextmanager
def measured() -> Iterator[Times]:
    """Yield what holds, after the block, its wall seconds and this process's processor seconds."""
    found: Times = {}
    processor, wall = time.process_time(), time.perf_counter()
    yield found
    found |= {"wall": time.perf_counter() - wall, "processor": time.process_time() - processor}


@dataclasses.dataclass(frozen=True)
class Setting:
    """What is edited, and how."""

    params: Params
    table: PromptTable
    photos: Sequence[ImageRecord]


def jobs_of(setting: Setting, cell: Cell) -> JobPlan:
    """Return the jobs of a cell."""
    params = setting.params
    return JobPlan(
        lambda: setting.photos,
        setting.table,
        attribute=cell[0],
        feasibility=cell[1],
        edits_per_photo=params.edit.edits_per_photo,
        seed=params.seed,
    )


def make_cell(setting: Setting, cell: Cell, fresh: Path) -> int:
    """Make all edits of a cell as the stage does, with no finished work to begin with; return their number."""
    os.environ["DVC_ROOT"] = str(fresh)
    jobs = jobs_of(setting, cell)
    count, specs = jobs.survey()
    run = build_run(setting.params, setting.table, specs, *cell, build_engine(setting.params, cell[0]))
    run.prepare(specs)
    for _ in run.finish(jobs, count, " ".join(cell)):
        pass
    return count


def against_plain_loop(setting: Setting, plain_edits: int) -> dict[str, Any]:
    """Return the seconds of an edit of every cell, ours with its share of the masks' time, and the plain loop's."""
    cells: dict[str, Any] = {}
    params, photos = setting.params, setting.photos
    compute = params.compute.model_copy(update={"device": "cpu"})
    segmenter = SEGMENTERS[params.segment.source](params.segment, compute, params.dataset.domain_word)
    segmenter.load()
    with measured() as masks:
        for start in range(0, len(photos), params.segment.batch_size):
            segmenter.segment(photos[start : start + params.segment.batch_size])
    edits = len(photos) * params.edit.edits_per_photo * ALL_CELLS
    for cell in CELLS:
        loop = PlainLoop(params, setting.table, *cell)
        jobs = list(islice(jobs_of(setting, cell), plain_edits + 1))
        torch.set_num_threads(available_cores())
        loop.edit(jobs[0])  # loads the networks
        with measured() as plain:
            for job in jobs[1:]:
                loop.edit(job)
        with tempfile.TemporaryDirectory() as fresh, measured() as ours:
            count = make_cell(setting, cell, Path(fresh))
        cells[" ".join(cell)] = {
            "plain": plain["wall"] / (len(jobs) - 1),
            "ours": ours["wall"] / count + masks["wall"] / edits,
        }
    return cells


def over_forward_passes(setting: Setting) -> dict[str, Any]:
    """Return, for every cell, the time of `edit` in one process and what of it was spent in networks."""
    one = setting.params.compute.model_copy(update={"workers": 1, "num_threads": 1, "device": "cpu"})
    setting = dataclasses.replace(setting, params=setting.params.model_copy(update={"compute": one}))
    return {" ".join(cell): _over_forward_passes(setting, cell) for cell in CELLS}


def _over_forward_passes(setting: Setting, cell: Cell) -> dict[str, Times]:
    spent: Times = {"wall": 0.0, "processor": 0.0}

    def timed(work: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            wall, processor = time.perf_counter(), time.process_time()
            try:
                return work(*arguments, **named)
            finally:
                spent["wall"] += time.perf_counter() - wall
                spent["processor"] += time.process_time() - processor

        return call

    with tempfile.TemporaryDirectory() as fresh:
        os.environ["DVC_ROOT"] = fresh
        jobs = jobs_of(setting, cell)
        count, specs = jobs.survey()
        with recorded() as pipelines:
            run = build_run(setting.params, setting.table, specs, *cell, build_engine(setting.params, cell[0]))
        run.prepare(specs)
        clip = run._filter._clip.model  # type: ignore[attr-defined]
        clip.encode_image, clip.encode_text = timed(clip.encode_image), timed(clip.encode_text)
        for pipeline in pipelines:
            if pipeline._section != "edit.prior":
                _time_parts(pipeline.pipe, timed)
        with measured() as whole:
            for _ in run.finish(jobs, count, " ".join(cell)):
                pass
    return {"edit": whole, "networks": dict(spent)}


def _time_parts(pipe: Any, timed: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Time the outermost networks of a pipeline; an autoencoder's halves are called by name."""
    for name in PARTS:
        if (part := getattr(pipe, name, None)) is not None:
            part.forward = timed(part.forward)
    pipe.vae.encode, pipe.vae.decode = timed(pipe.vae.encode), timed(pipe.vae.decode)


@click.command()
@click.option("--photos", "most", type=click.IntRange(min=1), default=96, show_default=True, help="At most.")
@click.option("--edits-per-photo", type=click.IntRange(min=1), default=2, show_default=True)
@click.option("--plain-edits", type=click.IntRange(min=2), default=12, show_default=True, help="Of each cell.")
@click.option("--json", "path", type=click.Path(path_type=Path, dir_okay=False), help="Write the figures there too.")
def main(most: int, edits_per_photo: int, plain_edits: int, path: Path | None) -> None:
    """Print edits a second against a plain loop, and the time of `edit` over that of its networks alone."""
    params = load_params(paths.PARAMS)
    prior = params.edit.prior.model_copy(update={"source": "text_to_image"})
    edit = params.edit.model_copy(update={"prior": prior, "edits_per_photo": edits_per_photo})
    once = params.filter.model_copy(update={"max_attempts": 1})
    params = params.model_copy(update={"edit": edit, "filter": once})
    train = [photo for photo in iterate_manifest(paths.MASKS_MANIFEST) if photo.split == "train"]
    spread = train[:: -(-len(train) // most)]  # over all classes, which the manifest is sorted by
    setting = Setting(params, load_prompts(paths.PROMPTS), spread)
    cells, overhead = against_plain_loop(setting, plain_edits), over_forward_passes(setting)
    for name, each in cells.items():
        plain, ours = each["plain"], each["ours"]
        print(f"{name:<24}{1 / plain:7.2f} edits/s plain{1 / ours:8.2f} ours{plain / ours:7.1f} times")
    plain, ours = (sum(each[who] for each in cells.values()) for who in ("plain", "ours"))
    print(f"{'all':<24}{plain / ours:.2f} times the edits a second (aim: 3 or more)")
    for unit in ("wall", "processor"):
        whole, networks = (sum(each[part][unit] for each in overhead.values()) for part in ("edit", "networks"))
        print(f"edit / its networks alone, {unit + ' time':<18}{whole / networks:.3f} (aim: 1.10 or less)")
    if path:
        path.write_bytes(json_bytes({"plain loop": cells, "forward passes": overhead}))


if __name__ == "__main__":
    main()
