"""How CLIP's towers run: with less memory or compiled while they are trained, and without padding of sentences."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from varireal.training.attention import make_adaptable
from varireal.training.probe_network import ProbeNetwork

if TYPE_CHECKING:
    from varireal.config import TrainConfig
    from varireal.training.classifiers import Classifier


def set_up_towers(model: Any, config: TrainConfig) -> None:
    """Give the towers of a classifier what ``train.gradient_checkpointing`` and ``train.compile`` ask for.

    Checkpointing keeps a block's input alone and computes the rest again on the way back, with the same random draws.
    Compiled are the stacks of blocks, of a tower of timm the whole of it; code is made when a shape is first met.

    Raises:
        UserError: a tower is no transformer that LoRA knows.
    """
    make_adaptable(model)
    model.set_grad_checkpointing(config.gradient_checkpointing)
    if config.compile:
        for part in _stacks(model):
            part.compile()


def _stacks(model: Any) -> list[Any]:
    """Return the parts of a network where nearly all of its work is done."""
    if isinstance(model, ProbeNetwork):
        return [model.backbone]
    towers = (model.visual, getattr(model, "text", model))
    return [tower.trunk if hasattr(tower, "trunk") else tower.transformer for tower in towers]


@contextlib.contextmanager
def unpadded(clip: Classifier, sentences: Sequence[str]) -> Iterator[torch.Tensor]:
    """Yield the tokens of the sentences, int64 (N, longest sentence), for a model that takes just these meanwhile.

    Under a causal mask nothing behind a sentence's end can reach its features, and class sentences fill a tenth of
    CLIP's 77 places. A tower without such a mask, or one that does not read its features at the end token, gets the
    whole context. A classifier that reads no text gets the numbers of the classes.
    """
    tokens = clip.tokenize(sentences)
    if not clip.reads_text:
        yield tokens
        return
    tower = getattr(clip.model, "text", clip.model)
    pooling = getattr(tower, "text_pool_type", None) or getattr(tower, "pool_type", None)
    mask: Any = getattr(tower, "attn_mask", None)
    positions: Any = getattr(tower, "positional_embedding", None)
    if mask is None or pooling != "argmax" or len(positions) != tokens.shape[1]:
        yield tokens
        return
    length = int(tokens.argmax(1).max()) + 1  # the end token has the highest number
    tower.attn_mask = mask[:length, :length]
    tower.positional_embedding = nn.Parameter(positions.data[:length], requires_grad=False)
    try:
        yield tokens[:, :length]
    finally:
        tower.attn_mask, tower.positional_embedding = mask, positions
