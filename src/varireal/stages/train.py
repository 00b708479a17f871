"""`varireal train`: fine-tune CLIP with LoRA for one cell of the grid, or on real photos only."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

import click

from varireal import paths
from varireal.base.manifest import ATTRIBUTES, CONDITIONS
from varireal.cli import stage_options

if TYPE_CHECKING:
    from varireal.config import Params
    from varireal.store.folders import WorkStore
    from varireal.training.plan import FineTuning, Study

logger = logging.getLogger(__name__)


@click.command()
@stage_options
@click.option("--attribute", type=click.Choice(ATTRIBUTES), help="What the edits of the cell change.")
@click.option("--condition", type=click.Choice(CONDITIONS), help="Which kinds of edits the cell trains on.")
@click.option("--real-only", is_flag=True, help="Train the baseline on real photos, in place of a cell.")
def command(params: Params, attribute: str | None, condition: str | None, real_only: bool) -> None:
    """Fine-tune CLIP with LoRA, once for every training source and seed of the grid.

    The best step is chosen on the split val; finished fine-tunings are kept, so a killed run goes on where it was.
    """
    from varireal.base.files import staged_folder, write_json
    from varireal.compute.processes import is_first
    from varireal.networks.clip import clip_identity
    from varireal.store.folders import WorkStore
    from varireal.training.plan import fine_tunings, metrics, read_study, write_adapters

    if real_only == bool(attribute or condition) or bool(attribute) != bool(condition):
        raise click.UsageError("give --attribute and --condition, or --real-only")
    name = "real" if real_only else f"{attribute}_{condition}"
    folder = paths.ADAPTERS / name
    study = read_study(params, None if real_only else paths.mix_folder(str(attribute), str(condition)))
    plan = fine_tunings(study, ["real"] if real_only else params.grid.sources, params.grid.seeds)
    store = WorkStore("train")
    _do_missing(study, plan, store, name)
    if not is_first():
        return
    description = {
        "attribute": attribute,
        "condition": condition,
        "clip": params.clip.model_dump(mode="json"),
        "clip_weights": clip_identity(params.clip.model, params.clip.pretrained),
        "train": params.train.model_dump(mode="json"),
        "run_seed": params.seed,
        "classes": list(study.classes),
        "sentences": list(study.sentences),
        "images": {"real": len(study.real), "synthetic": len(study.synthetic), "val": len(study.val)},
    }
    with staged_folder(folder) as staging:
        write_adapters(staging, plan, store, description)
    write_json(paths.METRICS / "train" / f"{name}.json", metrics(plan, store))


def _do_missing(study: Study, plan: list[FineTuning], store: WorkStore, name: str) -> None:
    """Do what is not kept from an earlier run, in as many processes as the cores allow, or as a team."""
    from varireal.compute.devices import resolve_device
    from varireal.compute.processes import (
        is_first,
        launched_processes,
        run_as_team,
        run_side_by_side,
        warm_up,
        worker_plan,
    )
    from varireal.compute.progress import progress

    missing = list({item.key: item for item in plan if store.get(item.key) is None}.values())
    if is_first():
        for key in {item.key for item in plan} - {item.key for item in missing}:
            store.drop_unfinished(key)  # left by a run that was killed between its last two steps
    logger.info("%s: %d of %d fine-tunings to do", name, len(missing), len(plan))
    work, steps = "varireal.training.run:run_fine_tunings", len(missing) * study.train.max_steps
    threads = study.compute.num_threads
    if launched_processes() > 1:  # by accelerate or torchrun: all meet there, though nothing be missing
        from varireal.training.run import run_fine_tunings

        with progress(f"train {name}", steps) if is_first() else contextlib.nullcontext(int) as advance:
            run_fine_tunings(study, missing, store, threads, report=advance)
        return
    if not missing:
        return
    warm_up("varireal.training.run")  # it loads while this process imports torch to look for an accelerator
    workers, threads = worker_plan(resolve_device(study.compute).type == "cpu", threads, len(missing))
    with progress(f"train {name}", steps) as advance:
        if study.compute.processes > 1:
            run_as_team(work, study.compute.processes, (study, missing, store, threads), advance)
        else:
            run_side_by_side(work, [(study, missing[k::workers], store, threads) for k in range(workers)], advance)
