"""Does the fine-tunings of a stage, keeping each as soon as it is finished."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import torch

from varireal.clip import load_clip
from varireal.devices import resolve_device, resolve_dtype
from varireal.io import json_bytes
from varireal.training.data import ImageSet, load_images
from varireal.training.loop import fine_tune, pools
from varireal.training.lora import adapter_bytes, add_lora, remove_lora
from varireal.training.plan import RESULT, FineTuning, Study
from varireal.work import WorkStore


def run_fine_tunings(
    study: Study,
    plan: Sequence[FineTuning],
    store: WorkStore,
    num_threads: int | None,
    *,
    report: Callable[[int], None],
) -> None:
    """Load CLIP and the images once, then do one fine-tuning after the other and put each into the store.

    ``report`` is called with 1 after every optimisation step.

    Raises:
        UserError: CLIP or an image cannot be loaded, or the store's disk is full.
    """
    if num_threads is not None:
        torch.set_num_threads(num_threads)
    device = resolve_device(study.compute)
    clip = load_clip(study.clip.model, study.clip.pretrained, device, resolve_dtype(study.compute))
    images: dict[str, ImageSet] = {"val": load_images(study.val, clip)}
    for origin in sorted({origin for item in plan for origin in item.source.split("+")}):
        images[origin] = load_images(study.real if origin == "real" else study.synthetic, clip)
    for item in plan:
        origins = item.source.split("+")
        seed = (study.run_seed, item.seed)
        model = add_lora(clip.model, study.train.lora, *seed)
        sources = pools(*(images[o] if o in origins else None for o in ("real", "synthetic")), study.train)
        best, looks = fine_tune(clip, model, study.sentences, sources, images["val"], study.train, seed, report)
        chosen = next(look for look in looks if look.step == best)
        result = {
            "best_step": best,
            "val_top1": chosen.val_top1,
            "val_loss": chosen.val_loss,
            "curve": [dataclasses.asdict(look) for look in looks],
        }
        store.put(item.key, {**adapter_bytes(model), RESULT: json_bytes(result)})
        remove_lora(model)
