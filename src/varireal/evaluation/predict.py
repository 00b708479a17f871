"""Predictions on the test split, one pass of a model after the other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from varireal.base.manifest import ImageRecord
from varireal.compute.devices import resolve_device, settle_algorithms
from varireal.config import ComputeConfig
from varireal.evaluation.plan import PREDICTIONS, EvaluationSet, ModelPass
from varireal.evaluation.table import table_bytes
from varireal.training.classifiers import Classifier, load_classifier

if TYPE_CHECKING:
    import torch

    from varireal.training.data import LabelledImages

NETWORK_MODULES = ("open_clip", "varireal.training.loop", "varireal.training.lora")  # imported before the first pass


class PredictionWorker:
    """Holds CLIP and the test photos, which it loads at its first pass."""

    def __init__(self, test: EvaluationSet, compute: ComputeConfig, work: Path) -> None:
        """Take the folder of finished work, which holds decoded pictures."""
        self._test, self._compute, self._work = test, compute, work
        self._clip: Classifier | None = None
        self._images: LabelledImages | None = None
        self._adapted = False  # CLIP had an adapter before, and so has split attention

    def __call__(self, items: Sequence[ModelPass]) -> list[dict[str, bytes]]:
        """Return the table of each model's predictions as a file.

        Raises:
            UserError: CLIP, an adapter or a photo cannot be loaded.
        """
        return [{PREDICTIONS: table_bytes(prediction_table(self._test.photos, *self._predict(item)))} for item in items]

    def _predict(self, item: ModelPass) -> tuple[torch.Tensor, bool]:
        """Return the scores of the photos, and whether each class was scored by itself."""
        from varireal.training.data import load_images
        from varireal.training.loop import scores
        from varireal.training.lora import load_adapter, remove_lora
        from varireal.training.pixels import PixelCache
        from varireal.training.towers import unpadded

        test = self._test
        if self._clip is None or (self._adapted and item.adapter is None):
            settle_algorithms(self._compute)
            # in float32 throughout; zero-shot is CLIP as it came to the last bit, so never split
            self._clip = load_classifier(test.clip, len(test.sentences), resolve_device(self._compute))
            self._adapted = False
        clip = self._clip
        if self._images is None:
            self._images = load_images(test.photos, PixelCache(clip, self._work))
        with unpadded(clip, test.sentences) as tokens:
            model = clip.model
            if item.adapter is not None:
                self._adapted = True
                model = load_adapter(clip.model, item.adapter)
            try:
                alone = test.loss == "sigmoid" if item.adapter else clip.sigmoid
                return scores(clip, model, tokens, self._images, test.batch_size), alone
            finally:
                if item.adapter is not None:
                    remove_lora(model)


def prediction_table(photos: Sequence[ImageRecord], logits: torch.Tensor, sigmoid: bool = False) -> pa.Table:
    """Return one row per photo: image_id, class_index, predicted, top5_correct, true_probability.

    ``logits`` is float32 (N, C), rows in the photos' order. Of equal logits the lower class index comes first; with
    fewer than five classes every photo is correct among the first five. The probability is among the classes, or with
    ``sigmoid`` of the class by itself, as a model means it that was trained so.
    """
    import torch

    truth = torch.tensor([photo.class_index for photo in photos])
    probabilities = logits.double().sigmoid() if sigmoid else logits.double().softmax(1)
    ranked = logits.argsort(dim=1, descending=True, stable=True)
    return pa.table(
        {
            "image_id": [photo.image_id for photo in photos],
            "class_index": truth.numpy(),
            "predicted": ranked[:, 0].numpy(),
            "top5_correct": (ranked[:, :5] == truth[:, None]).any(dim=1).numpy(),
            "true_probability": probabilities.gather(1, truth[:, None]).squeeze(1).numpy(),
        }
    )
