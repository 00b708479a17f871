"""The fine-tuning loop: AdamW, warm-up and cosine, selection on the val split."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

import torch

from varireal.base.seeding import SeedPart
from varireal.errors import UserError
from varireal.networks.finite import check_numbers, no_numbers
from varireal.training.data import Augmentation, LabelledImages, Rounds
from varireal.training.lora import learning, merged, trainable_parameters
from varireal.training.state import CheckpointFile, State, restore, to_bytes
from varireal.training.steps import AdaptedClip, ImagePool, autocast, class_loss
from varireal.training.team import Alone, Team

if TYPE_CHECKING:
    from varireal.config import TrainConfig
    from varireal.training.classifiers import Classifier

VAL_BATCH = 64  # images per forward pass without gradients


def learning_rate(step: int, config: TrainConfig) -> float:
    """Return the rate of step 0 to the last one: a linear warm-up to the peak, then a cosine to the final rate.

    The warm-up takes ``warmup_share`` of the steps and its last one has the peak rate.
    """
    warmup = round(config.warmup_share * config.steps)
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    passed = (step - warmup) / max(1, config.steps - 1 - warmup)
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, passed)))
    return config.final_learning_rate + (config.learning_rate - config.final_learning_rate) * cosine


def scores(
    clip: Classifier,
    model: Any,
    tokens: torch.Tensor,
    images: LabelledImages,
    batch_size: int,
    dtype: torch.dtype = torch.float32,
) -> torch.Tensor:
    """Return the logits of all images against the class sentences, float32 (N, C) on the CPU, without gradients.

    The model must be in evaluation mode. In float32 an adapter is merged for the time being, which is faster; a
    narrower ``dtype`` would round small updates of the weights away.
    """
    merging = merged(model) if dtype == torch.float32 else contextlib.nullcontext()
    with merging, torch.inference_mode():
        with autocast(clip, dtype):
            texts = clip.class_vectors(model, tokens)
        return text_scores(clip, model, texts.float(), images, batch_size, dtype)


def text_scores(
    clip: Classifier,
    model: Any,
    texts: torch.Tensor,
    images: LabelledImages,
    batch_size: int,
    dtype: torch.dtype = torch.float32,
) -> torch.Tensor:
    """Return the logits of all images against vectors of classes, float32 (N, C) on the CPU, without gradients."""
    parts = []
    with torch.inference_mode():
        for pixels in images.pixels.split(batch_size):
            with autocast(clip, dtype):
                features = clip.image_vectors(model, clip.normalise(pixels))
            parts.append(clip.logits(features.float(), texts).cpu())
            check_numbers(parts[-1], clip.name, dtype)
    return torch.cat(parts)


def look_at(
    clip: Classifier,
    model: Any,
    tokens: torch.Tensor,
    val: LabelledImages,
    dtype: torch.dtype = torch.float32,
    loss: str = "softmax",
) -> tuple[float, float]:
    """Return the mean loss (``train.loss``) and the top-1 accuracy in percent on the val images."""
    logits = scores(clip, model, tokens, val, VAL_BATCH, dtype)
    mean = class_loss(logits, val.labels, loss, reduction="mean").item()
    return mean, 100 * (logits.argmax(1) == val.labels).double().mean().item()


def fine_tune(
    clip: Classifier,
    model: Any,
    tokens: torch.Tensor,
    sources: Sequence[ImagePool],
    val: LabelledImages,
    config: TrainConfig,
    seed: Sequence[SeedPart],
    advance: Callable[[int], None],
    *,
    dtype: torch.dtype = torch.float32,
    team: Team | None = None,
    checkpoint: CheckpointFile | None = None,
) -> State:
    """Train the adapter of ``model`` and leave the chosen weights in it; return what happened.

    The best look has the highest val top-1, of equals the lowest val loss, of equals the earliest step; or the last one
    is chosen (``config.select``). Where a checkpoint is found, the fine-tuning goes on there. In a team only the first
    process looks at val and gets the chosen weights; the others' state has no looks.

    Args:
        model: ``clip.model`` with an adapter (see :func:`varireal.training.lora.add_lora`).
        tokens: of the class sentences, in the order of the class indices.
        seed: with the step it seeds order, augmentation and dropout. The same seed gives the same draws in every cell
            of the grid, which makes paired comparisons sharper.
        advance: called with the number of steps just done, or found done.
        dtype: that the network computes in, by autocast; all weights are float32.
        team: the processes that share every batch; None: this one alone.
        checkpoint: written by the first process; None: never.

    Raises:
        UserError: the loss is no number any more, or a checkpoint cannot be written.
    """
    together: Team = team or Alone()
    parameters = trainable_parameters(model)
    optimizer = torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True)
    # without scaling, float16 gradients vanish; torch's own first scale of 2**16 costs several steps until it fits
    scaler = torch.amp.GradScaler(clip.device.type, init_scale=2.0**12, enabled=dtype == torch.float16)
    adapted = AdaptedClip(clip, model, tokens, dtype, Augmentation(config.augmentation), config.loss)
    rounds = [Rounds(len(pool.images), "train", *seed, "order", k) for k, pool in enumerate(sources)]
    saved = together.from_first(checkpoint.read() if checkpoint and together.rank == 0 else None)
    state = State() if saved is None else restore(saved, parameters, optimizer, scaler)
    state.select = config.select
    if state.step:
        advance(state.step)
    parts = config.accumulation_steps
    learning(model)
    while state.step < config.steps:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(state.step, config)
        positions = [order.draw(state.step * pool.share, pool.share) for order, pool in zip(rounds, sources)]
        optimizer.zero_grad(set_to_none=True)
        own, step_seed = range(together.rank, parts, together.size), ("train", *seed, state.step)
        loss = adapted.add_gradients(sources, positions, parts, own, step_seed, scaler)
        together.add_up([loss, *(cast("torch.Tensor", parameter.grad) for parameter in parameters)])
        scaler.step(optimizer)
        scaler.update()
        state.step += 1
        state.losses.append(_finite(loss.item(), state.step, clip, dtype))
        advance(1)
        if together.rank == 0 and (state.step % config.eval_every == 0 or state.step == config.steps):
            model.eval()
            state.add_look(*look_at(clip, model, tokens, val, dtype, config.loss), parameters)
            learning(model)
        if checkpoint and together.rank == 0 and checkpoint.due(state.step):
            checkpoint.write(to_bytes(state, parameters, optimizer, scaler))
    model.eval()
    for parameter, weights in zip(parameters, state.best_weights or []):
        parameter.data.copy_(weights)
    return state


def _finite(loss: float, step: int, clip: Classifier, dtype: torch.dtype) -> float:
    if math.isfinite(loss):
        return loss
    if step == 1:  # nothing was learned yet
        raise no_numbers(clip.name, dtype)
    half = "" if dtype == torch.float32 else f", or set compute.dtype to float32 (now {str(dtype)[6:]})"
    raise UserError(
        f"the fine-tuning of {clip.name} diverged: its loss is {loss} in step {step}; lower train.learning_rate{half}"
    )
