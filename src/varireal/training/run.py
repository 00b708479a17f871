"""Does the fine-tunings of a stage, keeping each as soon as it is finished."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import torch

from varireal.base.files import json_bytes
from varireal.compute.devices import resolve_device, resolve_dtype
from varireal.compute.processes import keep_freed_memory
from varireal.networks.clip import load_clip
from varireal.store.folders import WorkStore
from varireal.training.data import ImageSet, load_images
from varireal.training.loop import Surroundings, fine_tune
from varireal.training.lora import adapter_bytes, add_lora, remove_lora
from varireal.training.pixels import PixelCache
from varireal.training.plan import RESULT, FineTuning, Study
from varireal.training.sentences import unpadded
from varireal.training.state import Checkpoint, State
from varireal.training.steps import pools
from varireal.training.team import join_team
from varireal.training.towers import set_up_towers


def run_fine_tunings(
    study: Study,
    plan: Sequence[FineTuning],
    store: WorkStore,
    num_threads: int | None,
    *,
    report: Callable[[int], None],
) -> None:
    """Load CLIP and the images once, then do one fine-tuning after the other and put each into the store.

    In a process of a team all of them do the same fine-tunings together: those of the first process's plan.

    ``report`` is called after every optimisation step with 1, by the first process of a team only, and with the steps
    that a checkpoint saves.

    Raises:
        UserError: CLIP or an image cannot be loaded, or the store's disk is full.
    """
    keep_freed_memory()
    device = resolve_device(study.compute)
    team = join_team(on_cpu=device.type == "cpu")
    if num_threads is not None:
        torch.set_num_threads(num_threads)
    plan = team.from_first(list(plan))
    dtype = resolve_dtype(study.compute)
    # in float32: the loop computes by autocast
    clip = load_clip(study.clip.model, study.clip.pretrained, team.device or device)
    set_up_towers(clip.model, study.train)
    images = _images(study, plan, PixelCache(clip, store.root))
    with unpadded(clip, study.sentences) as tokens:
        for item in plan:
            origins = item.source.split("+")
            seed = (study.run_seed, item.seed)
            model = add_lora(clip.model, study.train.lora, *seed)
            sources = pools(*(images[o] if o in origins else None for o in ("real", "synthetic")), study.train)
            checkpoint = Checkpoint(store.unfinished(item.key), study.train.checkpoint_every)
            around = Surroundings(dtype, team, checkpoint)
            advance = _nothing if team.rank else report
            state = fine_tune(clip, model, tokens, sources, images["val"], study.train, seed, advance, around)
            if team.rank == 0:
                store.put(item.key, {**adapter_bytes(model), RESULT: json_bytes(_result(state))})
                checkpoint.remove()
            remove_lora(model)
    team.leave()


def _images(study: Study, plan: Sequence[FineTuning], cache: PixelCache) -> dict[str, ImageSet]:
    records = {"val": study.val, "real": study.real, "synthetic": study.synthetic}
    needed = sorted({"val", *(origin for item in plan for origin in item.source.split("+"))})
    return {name: load_images(records[name], cache) for name in needed}


def _result(state: State) -> dict[str, Any]:
    return {
        "best_step": state.best.step,
        "val_top1": state.best.val_top1,
        "val_loss": state.best.val_loss,
        "curve": [dataclasses.asdict(look) for look in state.looks],
    }


def _nothing(_: int) -> None:
    """Report nothing: another process of the team does."""
