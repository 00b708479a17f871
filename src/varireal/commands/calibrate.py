"""One part of `varireal doctor --calibrate`, in a process of its own, as DVC runs a stage. Not for use by hand."""

from __future__ import annotations

import dataclasses
import itertools
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from varireal.base.manifest import ATTRIBUTES, FEASIBILITIES
from varireal.cli import stage_options

if TYPE_CHECKING:
    from varireal.base.manifest import Attribute, Feasibility
    from varireal.config import Params


@click.command("calibration")
@stage_options
@click.argument("part", type=click.Choice(["masks", "edits", "training"]))
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option("--attribute", type=click.Choice(ATTRIBUTES))
@click.option("--feasibility", type=click.Choice(FEASIBILITIES))
def command(
    params: Params, part: str, folder: Path, attribute: Attribute | None, feasibility: Feasibility | None
) -> None:
    """Clock a part of a run on the sample in the folder, and write RESULT there."""
    from varireal.base.files import write_json
    from varireal.doctor.calibration import RESULT

    if part == "masks":
        found = _masks(params, folder)
    elif part == "training":
        found = _training(params, folder)
    elif attribute is None or feasibility is None:
        raise click.UsageError("edits needs --attribute and --feasibility")
    else:
        found = _edits(params, folder, attribute, feasibility)
    write_json(folder / RESULT, found)


def _masks(params: Params, folder: Path) -> dict[str, Any]:
    """Find a batch of masks for every worker."""
    from varireal.base.manifest import read_manifest, write_manifest
    from varireal.doctor.calibration import MASKS, PHOTOS, worker_count
    from varireal.doctor.clock import ClockedEngine, busy
    from varireal.segmentation.run import build_engine, build_segmenters, segment_photos
    from varireal.store.folders import WorkStore

    config = params.segment
    engine = ClockedEngine(build_engine(params))
    segmenters = build_segmenters(params, engine, params.dataset.domain_word)
    photos = read_manifest(folder / PHOTOS)
    count = worker_count(params.compute, engine.device()) * config.batch_size
    copies = [
        dataclasses.replace(photo, image_id=f"{photo.image_id}~{number:04d}")
        for number, photo in zip(range(count), itertools.cycle(photos))
    ]
    done = segment_photos(segmenters, copies, config, WorkStore("segment"), engine, folder, folder)
    write_manifest(folder / MASKS, done)
    sizes = [Path(photo.mask_path).stat().st_size for photo in done if photo.mask_path]
    clocked = dataclasses.asdict(busy(engine.take(), len(copies)))
    return {"masks": clocked, "batch": config.batch_size, "bytes": sum(sizes) / len(sizes)}


def _edits(params: Params, folder: Path, attribute: Attribute, feasibility: Feasibility) -> dict[str, Any]:
    """Make and judge a batch of edits for every worker, after the pictures that they start from."""
    from varireal.base.manifest import iterate_manifest, read_manifest
    from varireal.doctor.calibration import MASKS, PROMPTS, worker_count
    from varireal.doctor.clock import ClockedEngine, busy
    from varireal.editing.cell import background_region, build_engine, build_run
    from varireal.editing.jobs import JobPlan
    from varireal.errors import UserError
    from varireal.prompts import load_prompts
    from varireal.store.folders import WorkStore

    table = load_prompts(folder / PROMPTS)
    engine = ClockedEngine(build_engine(params, attribute))
    count = worker_count(params.compute, engine.device()) * params.edit.inpaint.batch_size
    usable = sum(photo.status == "ok" for photo in read_manifest(folder / MASKS))
    plan = JobPlan(
        lambda: iterate_manifest(folder / MASKS),
        table,
        attribute=attribute,
        feasibility=feasibility,
        edits_per_photo=math.ceil(count / usable),
        seed=params.seed,
        region=background_region(params, feasibility) if attribute == "background" else None,
    )
    _, specs = plan.survey()
    jobs = list(itertools.islice(plan, count))
    if not jobs:
        raise UserError(f"not one photo of the sample can get a {attribute} edit: {plan.failures[0].note}")
    run = build_run(params, table, specs, attribute, feasibility, engine)
    run.prepare(specs)
    drawn = engine.take()
    edits = list(run.finish(jobs, len(jobs), "edits"))
    files = [run.files(edit.attempts[0]) for edit in edits if edit.attempts]
    if not files:
        raise UserError(f"not one {attribute} edit of the sample could be made: {edits[0].note}")
    pictures = [file for item in WorkStore("priors").items() for file in item.iterdir()]
    return {
        "edits": dataclasses.asdict(busy(engine.take(), len(jobs))),
        "pictures": dataclasses.asdict(busy(drawn, len(specs))),
        "batch": params.edit.inpaint.batch_size,
        "passed": sum(edit.status == "accepted" for edit in edits) / len(edits),
        "edit_bytes": sum(len(data) for each in files for data in each.values()) / len(files),
        "value_bytes": sum(file.stat().st_size for file in pictures) / len(specs) if drawn else 0.0,
    }


def _training(params: Params, folder: Path) -> dict[str, Any]:
    """Do a few steps and two looks in every process."""
    from varireal.base.files import read_json
    from varireal.base.manifest import read_manifest
    from varireal.compute.engines.local import LocalEngine
    from varireal.compute.processes import worker_plan
    from varireal.doctor.calibration import PHOTOS, PROMPTS
    from varireal.doctor.fine_tuning import FineTuningClock
    from varireal.prompts.templates import class_prompt
    from varireal.training.plan import Study

    photos = tuple(read_manifest(folder / PHOTOS))
    classes = tuple(read_json(folder / PROMPTS)["classes"])
    sentences = tuple(class_prompt(name, params.dataset.domain_word) for name in classes)
    study = Study(
        params.clip, params.train, params.compute, params.seed, classes, sentences,
        real=photos, val=(), synthetic=(),
    )  # fmt: skip
    compute = params.compute.model_copy(update={"workers": None})  # a limit of segment and edit alone
    engine = LocalEngine(compute, ("varireal.training.run",))
    tunings = len(params.grid.sources) * len(params.grid.seeds)
    workers, _ = worker_plan(engine.device() == "cpu", compute.num_threads, tunings)
    with engine.open(FineTuningClock(study, folder / "pixels"), workers) as pool:
        clocked = [result for _, results in pool.run([[number] for number in range(workers)]) for result in results]
    names = ("step", "look", "look_image", "decode_image", "image_bytes", "adapter_bytes")
    mean = {name: sum(getattr(each, name) for each in clocked) / len(clocked) for name in names}
    return {**mean, "workers": workers, "seconds": max(each.busy for each in clocked)}
