"""Predictions on the test split, adapter after adapter, each kept as soon as it is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyarrow as pa
import torch

from varireal.base.manifest import ImageRecord
from varireal.compute.devices import resolve_device, resolve_dtype
from varireal.compute.processes import keep_freed_memory
from varireal.evaluation.plan import PREDICTIONS, EvaluationSet, Prediction
from varireal.evaluation.table import table_bytes
from varireal.networks.clip import load_clip
from varireal.store.folders import WorkStore
from varireal.training.data import load_images
from varireal.training.loop import scores
from varireal.training.lora import load_adapter, remove_lora
from varireal.training.pixels import PixelCache
from varireal.training.sentences import unpadded


def predict(
    test: EvaluationSet,
    plan: Sequence[Prediction],
    store: WorkStore,
    num_threads: int | None,
    *,
    report: Callable[[int], None],
) -> None:
    """Load CLIP and the photos once, then predict with one adapter after the other and put each into the store.

    ``report`` is called with 1 after every adapter.

    Raises:
        UserError: CLIP, an adapter or a photo cannot be loaded, or the store's disk is full.
    """
    keep_freed_memory()
    if num_threads is not None:
        torch.set_num_threads(num_threads)
    device = resolve_device(test.compute)
    dtype = resolve_dtype(test.compute)
    clip = load_clip(test.clip.model, test.clip.pretrained, device)  # in float32, computing by autocast
    images = load_images(test.photos, PixelCache(clip, store.root))
    with unpadded(clip, test.sentences) as tokens:
        for item in plan:
            model = clip.model if item.adapter is None else load_adapter(clip.model, item.adapter)
            logits = scores(clip, model, tokens, images, test.batch_size, dtype)
            if item.adapter is not None:
                remove_lora(model)
            store.put(item.key, {PREDICTIONS: table_bytes(prediction_table(test.photos, logits))})
            report(1)


def prediction_table(photos: Sequence[ImageRecord], logits: torch.Tensor) -> pa.Table:
    """Return one row per photo: image_id, class_index, predicted, top5_correct, true_probability.

    ``logits`` is float32 (N, C), rows in the photos' order. Of equal logits the lower class index comes first; with
    fewer than five classes every photo is correct among the first five.
    """
    truth = torch.tensor([photo.class_index for photo in photos])
    ranked = logits.argsort(dim=1, descending=True, stable=True)
    return pa.table(
        {
            "image_id": [photo.image_id for photo in photos],
            "class_index": truth.numpy(),
            "predicted": ranked[:, 0].numpy(),
            "top5_correct": (ranked[:, :5] == truth[:, None]).any(dim=1).numpy(),
            "true_probability": logits.double().softmax(1).gather(1, truth[:, None]).squeeze(1).numpy(),
        }
    )
