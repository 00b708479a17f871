"""One optimisation step: a batch in parts through the image tower, the class sentences once, their gradients summed."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from torch.nn import functional

from varireal.base.seeding import SeedPart, forked_torch_rng
from varireal.training.data import Augmentation, LabelledImages, LabelledPhotos

if TYPE_CHECKING:
    from varireal.config import TrainConfig
    from varireal.training.classifiers import Classifier


@dataclasses.dataclass(frozen=True)
class ImagePool:
    """Training images of one origin, and what they weigh in the loss."""

    images: LabelledImages | LabelledPhotos
    share: int  # images of each batch that come from here
    weight: float  # factor of their mean cross-entropy


def pools(
    real: LabelledImages | LabelledPhotos | None, synthetic: LabelledImages | LabelledPhotos | None, config: TrainConfig
) -> list[ImagePool]:
    """Return the pools of a training source; a batch has ``batch_size`` images whatever the source.

    With both, half of each batch is real (the smaller half, if the size is odd) and the loss is
    ``lambda_real * CE(real) + (1 - lambda_real) * CE(synthetic)``: every source sees equally many images.
    """
    if real is None or synthetic is None:
        only = synthetic if real is None else real
        if only is None:
            raise ValueError("a fine-tuning needs real or synthetic images")
        return [ImagePool(only, config.batch_size, 1.0)]
    half = config.batch_size // 2
    return [
        ImagePool(real, half, config.lambda_real),
        ImagePool(synthetic, config.batch_size - half, 1 - config.lambda_real),
    ]


def autocast(clip: Classifier, dtype: torch.dtype) -> torch.autocast:
    """Return a context in which networks with float32 weights compute in ``dtype``; float32 changes nothing."""
    return torch.autocast(clip.device.type, dtype=dtype, enabled=dtype != torch.float32)


@dataclasses.dataclass(frozen=True)
class AdaptedClip:
    """CLIP with an adapter, the class sentences, and how a batch goes through them."""

    clip: Classifier
    model: Any  # clip.model with an adapter
    tokens: torch.Tensor  # of the class sentences, in the order of the class indices
    dtype: torch.dtype  # that matrix products compute in; weights and losses are float32
    augmentation: Augmentation
    loss: str = "softmax"  # train.loss

    def add_gradients(
        self,
        sources: Sequence[ImagePool],
        positions: Sequence[torch.Tensor],
        parts: int,
        own: range,
        seed: Sequence[SeedPart],
        scaler: torch.amp.GradScaler,
    ) -> torch.Tensor:
        """Add to the parameters' gradients what some parts of a batch contribute; return their share of the loss.

        The loss is the pools' weighted sum of mean cross-entropies over the whole batch: contributions of all parts
        add up to it, and to its gradients, however many parts there are. The class sentences are encoded anew,
        because the text tower trains too, but once for all parts: the loss is first differentiated with respect to
        their features.

        Args:
            positions: for each pool, which of its images are in the batch, int64 (share,).
            parts: how many pieces the batch is cut into, each with random draws of its own.
            own: the pieces to do here.
            seed: of the step.
        """
        with forked_torch_rng(*seed, "text"), autocast(self.clip, self.dtype):
            texts = self.clip.class_vectors(self.model, self.tokens)
        features = texts.detach().float().requires_grad_()
        total = torch.zeros((), device=self.clip.device)
        for part in own:
            rows = part_of_batch(positions, parts, part)
            with forked_torch_rng(*seed, part):
                loss = self.part_loss(sources, rows, features)
                scaler.scale(loss).backward()
            total += loss.detach()
        texts.backward(cast("torch.Tensor", features.grad).to(texts.dtype))
        return total

    def part_loss(
        self, sources: Sequence[ImagePool], rows: Sequence[torch.Tensor], texts: torch.Tensor
    ) -> torch.Tensor:
        """Return what the images at ``rows`` of each pool add to the loss, in one forward pass, float32 scalar."""
        inputs = self.clip.normalise(self._augmented(sources, rows))
        with autocast(self.clip, self.dtype):
            features = self.clip.image_vectors(self.model, inputs)
        logits = self.clip.logits(features.float(), texts)
        labels = torch.cat([pool.images.labels[chosen] for pool, chosen in zip(sources, rows)])
        weights = torch.cat([torch.full((len(r),), pool.weight / pool.share) for pool, r in zip(sources, rows)])
        losses = class_loss(logits, labels.to(self.clip.device), self.loss, reduction="none")
        return losses @ weights.to(self.clip.device)

    def _augmented(self, sources: Sequence[ImagePool], rows: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return random crops of the images at ``rows`` of each pool, float (N, S, S, 3)."""
        squares, photos = [], []
        for pool, chosen in zip(sources, rows):
            if isinstance(pool.images, LabelledPhotos):
                photos += pool.images.pixels[chosen]
            else:
                squares.append(pool.images.pixels[chosen])
        if photos:
            return self.augmentation.of_photos(photos, self.clip.image_size, self.clip.device)
        return self.augmentation(torch.cat(squares).to(self.clip.device))


def class_loss(
    logits: torch.Tensor, labels: torch.Tensor, loss: str, reduction: Literal["none", "mean"]
) -> torch.Tensor:
    """Return the loss of each image (``none``) or the mean over images, from their scores for the classes (N, C).

    ``softmax``: cross-entropy over the classes. ``sigmoid``: a yes for the label and a no for every other class,
    summed over the classes, as SigLIP was trained on pairs of images and texts.
    """
    if loss == "softmax":
        return functional.cross_entropy(logits, labels, reduction=reduction)
    wanted = functional.one_hot(labels, logits.shape[1]).to(logits.dtype)
    losses = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none").sum(1)
    return losses if reduction == "none" else losses.mean()


def part_of_batch(positions: Sequence[torch.Tensor], parts: int, part: int) -> list[torch.Tensor]:
    """Return what one of ``parts`` pieces of a batch holds of each pool; sizes of pieces differ by one at most."""
    order = torch.arange(sum(len(chosen) for chosen in positions)).tensor_split(parts)[part]
    start, end, passed, rows = int(order[0]), int(order[-1]) + 1, 0, []
    for chosen in positions:
        rows.append(chosen[max(0, start - passed) : max(0, end - passed)])
        passed += len(chosen)
    return rows
