"""Attention with separate query, key and value projections, so that PEFT can adapt queries and values alone."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from varireal.errors import UserError
from varireal.training.probe_network import ProbeNetwork


class SplitAttention(nn.Module):
    """The same function as the ``nn.MultiheadAttention`` it is made from, with one linear layer per projection.

    It takes the arguments that open_clip's residual attention blocks give, and like them asks for no weights.
    """

    def __init__(self, source: nn.MultiheadAttention) -> None:
        """Copy the weights of ``source``.

        Raises:
            ValueError: ``source`` has extra keys, other key or value sizes, or dropout: open_clip's towers have none.
        """
        super().__init__()
        if source.in_proj_weight is None or source.bias_k is not None or source.add_zero_attn or source.dropout:
            raise ValueError("only self-attention with one projection matrix and without dropout can be split")
        self.num_heads = source.num_heads
        self.batch_first = source.batch_first
        weights = source.in_proj_weight.detach().chunk(3)
        biases = (None,) * 3 if source.in_proj_bias is None else source.in_proj_bias.detach().chunk(3)
        self.q_proj, self.k_proj, self.v_proj = (_linear(w, b) for w, b in zip(weights, biases))
        output = source.out_proj
        self.out_proj = _linear(output.weight.detach(), None if output.bias is None else output.bias.detach())

    def forward(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        need_weights: bool = False,
        attn_mask: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, None]:
        """Return the attended values, of the query's shape, and None in place of the attention weights.

        Args:
            query: (N, L, D), or (L, N, D) unless ``batch_first``; ``key`` and ``value`` likewise.
            need_weights: must be false; it is there because the blocks name it.
            attn_mask: (L, S) or (N * heads, L, S); added to the scores, or boolean with true where to look away.

        Raises:
            ValueError: the weights are asked for.
        """
        if need_weights:
            raise ValueError("the fused attention computes no weights")
        if not self.batch_first:
            query, key, value = (part.transpose(0, 1) for part in (query, key, value))
        samples, length, width = query.shape
        heads = [
            projection(part).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for projection, part in ((self.q_proj, query), (self.k_proj, key), (self.v_proj, value))
        ]
        if attn_mask is not None:
            if attn_mask.dtype == torch.bool:
                attn_mask = ~attn_mask  # the fused kernel's booleans say where to look
            if attn_mask.ndim == 3:
                attn_mask = attn_mask.unflatten(0, (samples, self.num_heads))
        attended = functional.scaled_dot_product_attention(*heads, attn_mask=attn_mask)
        output = self.out_proj(attended.transpose(1, 2).reshape(samples, length, width))
        return (output if self.batch_first else output.transpose(0, 1)), None


def _linear(weight: torch.Tensor, bias: torch.Tensor | None) -> nn.Linear:
    layer: Any = nn.utils.skip_init(
        nn.Linear, weight.shape[1], weight.shape[0], bias=bias is not None, device=weight.device, dtype=weight.dtype
    )
    layer.weight = nn.Parameter(weight.clone(), requires_grad=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias.clone(), requires_grad=False)
    return layer


class SplitProjections(nn.Module):
    """The same function as timm's ``qkv``, one linear layer for queries, keys and values, with one layer for each."""

    def __init__(self, source: nn.Linear) -> None:
        """Copy the weights of ``source``, whose outputs are all queries, then all keys, then all values."""
        super().__init__()
        biases = (None,) * 3 if source.bias is None else source.bias.detach().chunk(3)
        weights = source.weight.detach().chunk(3)
        self.q_proj, self.k_proj, self.v_proj = (_linear(w, b) for w, b in zip(weights, biases))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return queries, keys and values side by side, (..., 3 * width)."""
        return torch.cat([self.q_proj(tokens), self.k_proj(tokens), self.v_proj(tokens)], dim=-1)


def make_adaptable(model: Any) -> None:
    """Let PEFT reach queries and values of a classifier's network by themselves, in place; a probe's it reaches.

    Raises:
        UserError: as for :func:`split_attention`.
    """
    if not isinstance(model, ProbeNetwork):
        split_attention(model)


def split_attention(model: Any) -> int:
    """Give every attention block of both towers separate projections, in place; return how many blocks.

    Blocks that are split already are counted and left alone. The new weights are frozen.

    Raises:
        UserError: a tower is no transformer of open_clip or timm (a ResNet, a network of convolutions or a Hugging
            Face tower).
    """
    count = 0
    text = getattr(model, "text", model)
    for name, tower in (("image", model.visual), ("text", text)):
        attentions = tower_attentions(tower)
        if attentions is None:
            inner = getattr(tower, "trunk", tower)
            raise UserError(
                f"clip.model: its {name} tower ({type(inner).__name__}) has no blocks that LoRA knows; choose a model "
                "with transformers in both towers, such as ViT-B-16, ViT-B-16-SigLIP2, MobileCLIP2-B or PE-Core-B-16"
            )
        for parent, attention in attentions:
            if isinstance(attention, nn.MultiheadAttention):
                parent.attn = SplitAttention(attention)
            elif isinstance(getattr(attention, "qkv", None), nn.Linear):
                attention.qkv = SplitProjections(attention.qkv)
        count += len(attentions)
    return count


def tower_attentions(tower: Any) -> list[tuple[Any, Any]] | None:
    """Return each block of a tower with its attention; None where LoRA knows not all of them.

    timm's fused projection has its bias inside, but for some towers of EVA, whose attention adds it by itself.
    """
    trunk = getattr(tower, "trunk", None)
    if trunk is None:
        blocks, known = getattr(getattr(tower, "transformer", None), "resblocks", None), _is_open_clips
    else:
        blocks, known = getattr(trunk, "blocks", None), _is_timms
    attentions = [(block, getattr(block, "attn", None)) for block in blocks or ()]
    return attentions if attentions and all(known(attention) for _, attention in attentions) else None


def _is_open_clips(attention: Any) -> bool:
    return isinstance(attention, nn.MultiheadAttention | SplitAttention)


def _is_timms(attention: Any) -> bool:
    if isinstance(getattr(attention, "qkv", None), nn.Linear | SplitProjections):
        return getattr(attention, "q_bias", None) is None
    return all(isinstance(getattr(attention, name, None), nn.Linear) for name in ("q_proj", "v_proj"))


def joined_state(model: Any) -> dict[str, torch.Tensor]:
    """Return the weights of a model under its own names: q, k and v of each split block in one matrix again."""
    state = dict(model.state_dict())
    for name, module in model.named_modules():
        if isinstance(module, SplitAttention | SplitProjections):
            joined = "in_proj_" if isinstance(module, SplitAttention) else ""
            for kind in ("weight", "bias"):
                parts = [state.pop(f"{name}.{part}.{kind}", None) for part in ("q_proj", "k_proj", "v_proj")]
                if parts[0] is not None:
                    state[f"{name}.{joined}{kind}"] = torch.cat(parts)
    return state
