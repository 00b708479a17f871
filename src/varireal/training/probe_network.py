"""A network for pictures under a linear layer that names classes."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional

from varireal.base.seeding import SeedPart, forked_torch_rng

HEAD = "class_head"  # no module of a backbone has this name: PEFT finds it by it
PROJECTIONS = ("q_proj", "v_proj", "query", "value")  # what transformers calls projections of queries and values


class ProbeNetwork(nn.Module):
    """A backbone of transformers whose features, of mean 0 and deviation 1, a linear layer turns into scores.

    Features of every backbone so have the same size, and one learning rate suits the layer on any of them.
    """

    def __init__(self, backbone: Any, width: int, classes: int, frozen: bool) -> None:
        """Take a network that answers pictures with ``pooler_output`` or ``last_hidden_state`` of this width."""
        super().__init__()
        self.backbone, self.frozen = backbone, frozen
        self.class_head = cast("nn.Linear", nn.utils.skip_init(nn.Linear, width, classes))
        self.start_head()

    def start_head(self, *seed: SeedPart) -> None:
        """Draw the linear layer anew from the seed's parts: small weights, no bias."""
        with forked_torch_rng("probe", *seed), torch.no_grad():
            weights = 0.01 * torch.randn(self.class_head.weight.shape)  # on the CPU: the same for every device
            self.class_head.weight.copy_(weights)
            self.class_head.bias.zero_()

    def lora_targets(self) -> list[str]:
        """Return the names of the linear layers that LoRA adapts: queries and values of every block, if not frozen."""
        if self.frozen:
            return []
        return [
            name
            for name, module in self.named_modules()
            if isinstance(module, nn.Linear) and name.rpartition(".")[2] in PROJECTIONS
        ]

    def encode_image(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the features of pictures (N, 3, S, S), float32 (N, D): pooled, or the mean over places."""
        answer = self.backbone(pixel_values=inputs)
        pooled = getattr(answer, "pooler_output", None)
        features = (answer.last_hidden_state.mean(1) if pooled is None else pooled).float()
        return functional.layer_norm(features, features.shape[-1:])

    def class_vectors(self) -> torch.Tensor:
        """Return the layer's weights with the bias behind them, (C, D + 1)."""
        return torch.cat([self.class_head.weight, self.class_head.bias[:, None]], dim=1)

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Let the backbone keep the inputs of its blocks alone while it is trained."""
        if enable:
            self.backbone.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        elif self.backbone.is_gradient_checkpointing:
            self.backbone.gradient_checkpointing_disable()
