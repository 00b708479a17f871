"""The fine-tuning loop: lambda-weighted loss, AdamW, warm-up and cosine, selection on the val split."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from varireal.seeding import SeedPart, forked_torch_rng
from varireal.training.data import Augmentation, ImageSet, Rounds
from varireal.training.lora import trainable_parameters

if TYPE_CHECKING:
    from varireal.clip import Clip
    from varireal.config import TrainConfig

VAL_BATCH = 64  # images per forward pass without gradients


@dataclasses.dataclass(frozen=True)
class Look:
    """One look at the val split."""

    step: int  # optimisation steps done
    train_loss: float  # mean since the look before
    val_loss: float  # mean cross-entropy
    val_top1: float  # percent


@dataclasses.dataclass(frozen=True)
class Pool:
    """Training images of one origin, and what they weigh in the loss."""

    images: ImageSet
    share: int  # images of each batch that come from here
    weight: float  # factor of their mean cross-entropy


def pools(real: ImageSet | None, synthetic: ImageSet | None, config: TrainConfig) -> list[Pool]:
    """Return the pools of a training source; a batch has ``batch_size`` images whatever the source.

    With both, half of each batch is real (the smaller half, if the size is odd) and the loss is
    ``lambda_real * CE(real) + (1 - lambda_real) * CE(synthetic)``: every source sees equally many images.
    """
    if real is None or synthetic is None:
        only = synthetic if real is None else real
        if only is None:
            raise ValueError("a fine-tuning needs real or synthetic images")
        return [Pool(only, config.batch_size, 1.0)]
    half = config.batch_size // 2
    return [
        Pool(real, half, config.lambda_real),
        Pool(synthetic, config.batch_size - half, 1 - config.lambda_real),
    ]


def learning_rate(step: int, config: TrainConfig) -> float:
    """Return the rate of step 0 to max_steps - 1: a linear warm-up to the peak, then a cosine to the final rate.

    The warm-up takes ``warmup_share`` of the steps and its last one has the peak rate.
    """
    warmup = round(config.warmup_share * config.max_steps)
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    passed = (step - warmup) / max(1, config.max_steps - 1 - warmup)
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, passed)))
    return config.final_learning_rate + (config.learning_rate - config.final_learning_rate) * cosine


def scores(clip: Clip, model: Any, tokens: torch.Tensor, images: ImageSet, batch_size: int) -> torch.Tensor:
    """Return the logits of all images against the class sentences, float32 (N, C) on the CPU, without gradients."""
    with torch.no_grad():
        texts = model.encode_text(tokens, normalize=True)
        parts = [
            clip.logit_scale * (model.encode_image(clip.normalise(pixels), normalize=True) @ texts.T).float().cpu()
            for pixels in images.pixels.split(batch_size)
        ]
    return torch.cat(parts)


def look_at(clip: Clip, model: Any, tokens: torch.Tensor, val: ImageSet) -> tuple[float, float]:
    """Return the mean cross-entropy and the top-1 accuracy in percent on the val images."""
    logits = scores(clip, model, tokens, val, VAL_BATCH)
    loss = functional.cross_entropy(logits, val.labels).item()
    return loss, 100 * (logits.argmax(1) == val.labels).double().mean().item()


def fine_tune(
    clip: Clip,
    model: Any,
    sentences: Sequence[str],
    sources: Sequence[Pool],
    val: ImageSet,
    config: TrainConfig,
    seed: Sequence[SeedPart],
    advance: Callable[[int], None],
) -> tuple[int, list[Look]]:
    """Train the adapter of ``model`` and leave its best weights in it; return the best step and all looks.

    The class sentences are encoded anew in each step, because the text tower trains too. The best look has the
    highest val top-1, of equals the lowest val loss, of equals the earliest step.

    Args:
        model: ``clip.model`` with an adapter (see :func:`varireal.training.lora.add_lora`).
        sentences: one per class, in the order of the class indices.
        seed: with the step it seeds order, augmentation and dropout. The same seed gives the same draws in every cell
            of the grid, which makes paired comparisons sharper.
        advance: called with 1 after each step.
    """
    parameters = trainable_parameters(model)
    optimizer = torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=config.weight_decay)
    # without scaling, float16 gradients vanish
    scaler = torch.amp.GradScaler(clip.device.type, enabled=clip.model.logit_scale.dtype == torch.float16)
    augmentation = Augmentation(config.augmentation)
    tokens = clip.tokenize(sentences)
    rounds = [Rounds(len(pool.images), "train", *seed, "order", k) for k, pool in enumerate(sources)]
    looks: list[Look] = []
    best: tuple[tuple[float, float], int, list[torch.Tensor]] | None = None
    losses: list[float] = []
    for step in range(config.max_steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, config)
        positions = [order.draw(step * pool.share, pool.share) for order, pool in zip(rounds, sources)]
        with forked_torch_rng("train", *seed, step):
            model.train()
            loss = batch_loss(clip, model, tokens, sources, positions, augmentation)
            optimizer.zero_grad(set_to_none=True)
            scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        losses.append(loss.item())
        advance(1)
        if (step + 1) % config.eval_every == 0 or step + 1 == config.max_steps:
            model.eval()
            val_loss, val_top1 = look_at(clip, model, tokens, val)
            looks.append(Look(step + 1, math.fsum(losses) / len(losses), val_loss, val_top1))
            losses.clear()
            rank = (val_top1, -val_loss)
            if best is None or rank > best[0]:
                best = rank, step + 1, [copy.deepcopy(parameter.data) for parameter in parameters]
    assert best is not None  # the last step always looks
    for parameter, data in zip(parameters, best[2]):
        parameter.data.copy_(data)
    model.eval()
    return best[1], looks


def batch_loss(
    clip: Clip,
    model: Any,
    tokens: torch.Tensor,
    sources: Sequence[Pool],
    positions: Sequence[torch.Tensor],
    augmentation: Augmentation,
) -> torch.Tensor:
    """Return the weighted loss of one batch: the images at ``positions`` of each pool, in one forward pass."""
    pixels = augmentation(torch.cat([pool.images.pixels[rows] for pool, rows in zip(sources, positions)]))
    features = model.encode_image(clip.normalise(pixels), normalize=True)
    texts = model.encode_text(tokens, normalize=True)
    logits = (clip.logit_scale * features @ texts.T).float()
    parts = logits.split([len(rows) for rows in positions])
    labels = [pool.images.labels[rows].to(clip.device) for pool, rows in zip(sources, positions)]
    return sum(pool.weight * functional.cross_entropy(part, label) for pool, part, label in zip(sources, parts, labels))
