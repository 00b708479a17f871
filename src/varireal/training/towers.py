"""How CLIP's towers run while they are trained: with less memory, or compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from varireal.training.attention import split_attention

if TYPE_CHECKING:
    from varireal.config import TrainConfig


def set_up_towers(model: Any, config: TrainConfig) -> None:
    """Give both towers of an open_clip model what ``train.gradient_checkpointing`` and ``train.compile`` ask for.

    Checkpointing keeps a block's input alone and computes the rest again on the way back, with the same random draws.
    Compiled are the stacks of blocks; code is made when a shape is first met.

    Raises:
        UserError: a tower is no open_clip transformer.
    """
    split_attention(model)
    model.set_grad_checkpointing(config.gradient_checkpointing)
    if config.compile:
        for tower in (model.visual, getattr(model, "text", model)):
            tower.transformer.compile()
