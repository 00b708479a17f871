"""The parts of a calibration: a batch of masks, of edits or of training steps on the sample, clocked."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from varireal.base.files import read_json
from varireal.base.manifest import iterate_manifest, read_manifest, write_manifest
from varireal.compute.devices import visible_gpus
from varireal.compute.engines import SetAside
from varireal.compute.engines.local import LocalEngine
from varireal.compute.processes import worker_plan
from varireal.doctor.clock import ClockedEngine, pool_time
from varireal.doctor.fine_tuning import FineTuningClock
from varireal.doctor.sample import MASKS, PHOTOS, PROMPTS
from varireal.editing.cell import build_engine, build_run, plan_jobs
from varireal.errors import UserError
from varireal.prompts import load_prompts
from varireal.prompts.templates import class_prompt
from varireal.segmentation import run as segmentation
from varireal.store import FolderStore
from varireal.training.plan import TrainingSet
from varireal.training.worker import NETWORK_MODULES as TRAINING_MODULES

if TYPE_CHECKING:
    from varireal.base.manifest import Attribute, Feasibility
    from varireal.config import ComputeConfig, Params


def time_masks(params: Params, folder: Path) -> dict[str, Any]:
    """Find a batch of masks for every worker."""
    config = params.segment
    engine = ClockedEngine(segmentation.build_engine(params))
    segmenters = segmentation.build_segmenters(params, engine, params.dataset.domain_word)
    photos = read_manifest(folder / PHOTOS)
    count = worker_count(params.compute, engine.device()) * config.batch_size
    copies = [
        dataclasses.replace(photo, image_id=f"{photo.image_id}~{number:04d}")
        for number, photo in zip(range(count), itertools.cycle(photos))
    ]
    done = segmentation.segment_photos(
        segmenters, copies, config, FolderStore("segment"), engine, folder, folder,
        max_set_aside=params.compute.max_set_aside,
    )  # fmt: skip
    segmentation.check_any_usable(done)  # of every class would be too much to ask of a sample
    write_manifest(folder / MASKS, done)
    sizes = [Path(photo.mask_path).stat().st_size for photo in done if photo.mask_path]
    clocked = dataclasses.asdict(pool_time(engine.take(), len(copies)))
    return {"masks": clocked, "batch": config.batch_size, "bytes": sum(sizes) / len(sizes)}


def time_edits(params: Params, folder: Path, attribute: Attribute, feasibility: Feasibility) -> dict[str, Any]:
    """Make and judge a batch of edits for every worker, after the pictures that they start from."""
    table = load_prompts(folder / PROMPTS)
    engine = ClockedEngine(build_engine(params, attribute))
    count = worker_count(params.compute, engine.device()) * params.edit.inpaint.batch_size
    usable = sum(photo.status == "ok" for photo in read_manifest(folder / MASKS))
    photos = functools.partial(iterate_manifest, folder / MASKS)
    plan = plan_jobs(params, table, photos, attribute, feasibility, math.ceil(count / usable))
    _, specs = plan.survey()
    jobs = list(itertools.islice(plan, count))
    if not jobs:
        raise UserError(f"not one photo of the sample can get a {attribute} edit: {plan.failures[0].note}")
    run = build_run(params, table, specs, attribute, feasibility, engine, plan.wordings)
    run.prepare(specs)
    drawn = engine.take()
    edits = list(run.finish(jobs, len(jobs), "edits"))
    files = [run.files(edit.attempts[0]) for edit in edits if edit.attempts]
    if not files:
        raise UserError(f"not one {attribute} edit of the sample could be made: {edits[0].note}")
    pictures = [file for item in FolderStore("priors").items() for file in item.iterdir()]
    return {
        "edits": dataclasses.asdict(pool_time(engine.take(), len(jobs))),
        "pictures": dataclasses.asdict(pool_time(drawn, len(specs))),
        "batch": params.edit.inpaint.batch_size,
        "passed": sum(edit.status == "accepted" for edit in edits) / len(edits),
        "edit_bytes": sum(len(data) for each in files for data in each.values()) / len(files),
        "value_bytes": sum(file.stat().st_size for file in pictures) / len(specs) if drawn else 0.0,
    }


def time_training(params: Params, folder: Path) -> dict[str, Any]:
    """Do a few steps and two looks in every process."""
    photos = tuple(read_manifest(folder / PHOTOS))
    classes = tuple(read_json(folder / PROMPTS)["classes"])
    sentences = tuple(class_prompt(name, params.dataset.domain_word, params.clip.sentence) for name in classes)
    training = TrainingSet(
        params.clip, params.train, params.compute, params.seed, classes, sentences,
        real=photos, val=(), synthetic=(),
    )  # fmt: skip
    engine = LocalEngine(params.compute, TRAINING_MODULES)
    workers = min(worker_count(params.compute, engine.device()), len(params.grid.sources) * len(params.grid.seeds))
    with engine.open(FineTuningClock(training, folder / "pixels"), workers) as pool:
        results = [result for _, batch in pool.run([[number] for number in range(workers)]) for result in batch]
    if failures := [result.note for result in results if isinstance(result, SetAside)]:
        raise UserError(failures[0])
    clocked = [result for result in results if not isinstance(result, SetAside)]
    names = ("step", "look", "look_image", "decode_image", "image_bytes", "adapter_bytes")
    mean = {name: sum(getattr(each, name) for each in clocked) / len(clocked) for name in names}
    return {**mean, "workers": workers, "seconds": max(each.busy for each in clocked)}


def worker_count(compute: ComputeConfig, device: str) -> int:
    """Return how many workers an engine has where there is work for all; the sample gives each a batch."""
    if device == "cuda":
        count = max(1, len(visible_gpus()))
    else:
        count, _ = worker_plan(device == "cpu", compute.num_threads, sys.maxsize)
    return min(count, compute.workers or count)
