"""Trains the demo segmenter, a tiny SegFormer that finds the aircraft in a rendered picture.

The folder it writes loads through ``AutoModelForSemanticSegmentation`` and ``AutoImageProcessor``. Its first patch
embedding has stride 2 instead of SegFormer's 4, so that the logits of a 128-px picture are 64 px wide and thin
wings and struts survive.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms import functional

from varireal.base.files import staged_folder
from varireal.base.seeding import forked_torch_rng
from varireal.cli import run_command
from varireal_pretraining.images import SIZE, Bank, RenderedSet, fresh_photos, load_bank, load_images
from varireal_pretraining.loop import (
    METRICS,
    LibraryModel,
    TrainingLoop,
    TrainingSettings,
    TrainingStep,
    count_parameters,
    training_options,
)
from varireal_pretraining.views import SceneMixer, random_affine, warp

OUT = Path("models/demo/segmenter")
LABELS = {0: "background", 1: "aircraft"}
#: ImageNet's channel statistics, SegFormer's usual ones.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PASTE_SHARE = 0.4
#: Share of the training on pictures of half the size; a SegFormer has no positions, so it takes any size.
SMALL_SHARE = 0.6


def build_segmenter() -> LibraryModel:
    """Return the untrained SegFormer, about 1.2 million parameters."""
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    config = SegformerConfig(
        depths=[1, 1, 2, 2],
        hidden_sizes=[16, 32, 96, 160],
        num_attention_heads=[1, 1, 3, 5],
        sr_ratios=[8, 4, 2, 1],
        patch_sizes=[7, 3, 3, 3],
        strides=[2, 2, 2, 2],
        mlp_ratios=[1, 2, 4, 4],
        decoder_hidden_size=32,
        hidden_dropout_prob=0.0,
        classifier_dropout_prob=0.0,
        drop_path_rate=0.0,
        id2label=LABELS,
        label2id={name: index for index, name in LABELS.items()},
    )
    return SegformerForSemanticSegmentation(config)


def normalize(pictures: Tensor) -> Tensor:
    """Return float pictures (count, 3, height, width) in 0..255 as the image processor would."""
    return functional.normalize(pictures / 255, list(MEAN), list(STD))


def object_logits(model: LibraryModel, pictures: Tensor) -> Tensor:
    """Return how much more likely the object is than the background, (count, 1, height, width), at full size."""
    logits = model(pixel_values=pictures).logits
    margin = logits[:, 1:] - logits[:, :1]
    return F.interpolate(margin, pictures.shape[-2:], mode="bilinear", align_corners=False)


def mask_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Return binary cross entropy plus one minus the soft intersection over union, averaged over pictures."""
    probability = logits.sigmoid()
    shared = (probability * masks).sum((1, 2, 3))
    union = (probability + masks).sum((1, 2, 3)) - shared
    overlap = (shared + 1) / (union + 1)
    return F.binary_cross_entropy_with_logits(logits, masks) + (1 - overlap).mean()


class SegmenterTask:
    """Draws batches of all kinds of scenes, some of them pasted on other places, and computes the loss."""

    def __init__(self, model: LibraryModel, data: RenderedSet, bank: Bank, batch_size: int) -> None:
        self.model, self.data, self.batch_size = model, data, batch_size
        self.mixer = SceneMixer(data, bank, PASTE_SHARE)

    def loss(self, step: TrainingStep) -> Tensor:
        """Return the loss of one step; early ones see the pictures at half their size, which is four times faster."""
        small = step.progress < SMALL_SHARE
        count = self.batch_size * (2 if small else 1)
        mixed = self.mixer.draw(step.rng.integers(len(self.data.images), size=count), step)
        stacked = torch.cat([normalize(mixed.pictures), mixed.masks.float()], 1)
        stacked = warp(stacked, random_affine(count, step.generator, turn_degrees=8.0))
        if small:
            stacked = F.avg_pool2d(stacked, 2)
        gain = 1 + 0.1 * torch.randn(count, 1, 1, 1, generator=step.generator)
        # Warped masks have soft rims; the data set's rule is coverage above about a third.
        return mask_loss(object_logits(self.model, stacked[:, :3] * gain), (stacked[:, 3:] > 0.4).float())


def export_segmenter(model: LibraryModel, folder: Path) -> None:
    """Write model (float16) and image processor to ``folder``."""
    from transformers import SegformerForSemanticSegmentation, SegformerImageProcessor

    with staged_folder(folder) as staging:
        copy = SegformerForSemanticSegmentation(model.config)
        copy.load_state_dict(model.state_dict())
        copy.half().save_pretrained(staging)
        size = {"height": SIZE, "width": SIZE}
        SegformerImageProcessor(size=size, image_mean=list(MEAN), image_std=list(STD)).save_pretrained(staging)


def mean_iou(folder: Path, data: RenderedSet) -> dict[str, float]:
    """Return how well the masks of the plain library calls cover the true ones (intersection over union).

    ``iou`` is averaged over pictures; ``iou_p05`` is the fifth percentile; ``mean_iou`` the mean of the object's and
    the background's.
    """
    from transformers import AutoImageProcessor, AutoModelForSemanticSegmentation

    processor = AutoImageProcessor.from_pretrained(folder)
    model = AutoModelForSemanticSegmentation.from_pretrained(folder, dtype=torch.float32).eval()
    object_scores, place_scores = [], []
    for image, mask in zip(data.images, data.masks, strict=True):
        inputs = processor(images=image, return_tensors="pt")
        with torch.no_grad():
            outputs = model(**inputs)
        guess = processor.post_process_semantic_segmentation(outputs, target_sizes=[mask.shape])[0].numpy() == 1
        true = mask > 127
        object_scores.append((guess & true).sum() / (guess | true).sum())
        place_scores.append((~guess & ~true).sum() / (~guess | ~true).sum())
    return {
        "iou": float(np.mean(object_scores)),
        "iou_p05": float(np.percentile(object_scores, 5)),
        "mean_iou": float((np.mean(object_scores) + np.mean(place_scores)) / 2),
    }


@click.command()
@training_options(
    TrainingSettings(
        "segmenter", 8, 2e-3, 45.0, out=OUT, metrics=METRICS / "segmenter.json", hold=0.4, save_minutes=3.0
    )
)
def command(settings: TrainingSettings) -> None:
    """Train the demo segmenter from nothing."""
    with forked_torch_rng("segmenter", settings.seed):
        model = build_segmenter()
    task = SegmenterTask(model, load_images(settings.images, "train"), load_bank(settings.images), settings.batch_size)
    loop = TrainingLoop(
        settings,
        {"segmenter": model},
        task.loss,
        lambda: export_segmenter(model, settings.out),
    )
    history = loop.run()
    scores = {
        "photos": mean_iou(settings.out, fresh_photos("segmenter", 20)),
        "held_out": mean_iou(settings.out, load_images(settings.images, "held_out")),
    }
    settings.write_figures(history, count_parameters(model), **scores)


if __name__ == "__main__":
    run_command(command)
