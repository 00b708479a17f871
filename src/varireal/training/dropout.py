"""Dropout that draws its masks from 16 random bits a value: on a CPU torch's own took a tenth of a training step."""

from __future__ import annotations

import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from torch import nn

LEVELS = 2**16  # of a value's random bits


class BitDropout(nn.Dropout):
    """nn.Dropout whose rate is rounded to a multiple of 1/65536; what is kept is scaled for exactly that rate.

    It draws from torch's own generator on the CPU; on other devices it is nn.Dropout.
    """

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Return the input with a random share of its values zero, while training."""
        dropped = round(self.p * LEVELS)
        if not self.training or dropped in (0, LEVELS) or input.device.type != "cpu":
            return super().forward(input)
        words = torch.empty(-(-input.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        bits = words.view(torch.int16)[: input.numel()].view(input.shape)
        kept = (bits >= dropped - LEVELS // 2).to(input.dtype)
        return input * kept.mul_(LEVELS / (LEVELS - dropped))


def use_bit_dropout(adapted: PeftModel) -> None:
    """Put :class:`BitDropout` in the place of the adapter's own dropout."""
    for layer in adapted.modules():
        if isinstance(layer, LoraLayer):
            for name, dropout in layer.lora_dropout.items():
                if isinstance(dropout, nn.Dropout):
                    layer.lora_dropout[name] = BitDropout(dropout.p)
