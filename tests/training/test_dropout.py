from __future__ import annotations

import pytest
import torch

from varireal.base.seeding import forked_torch_rng
from varireal.config import LoraSettings
from varireal.networks.clip import load_clip
from varireal.training.dropout import BitDropout
from varireal.training.lora import add_lora


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_the_asked_share_is_dropped_and_the_mean_is_kept(rate):
    with forked_torch_rng("dropout"):
        dropped = BitDropout(rate)(torch.ones(300, 1001))
    values = dropped.unique()
    assert len(values) == 2 and values[0] == 0
    assert values[1].item() == pytest.approx(1 / (1 - rate), rel=1e-4)
    share = (dropped == 0).float().mean().item()
    assert share == pytest.approx(rate, abs=4 * (rate * (1 - rate) / dropped.numel()) ** 0.5)
    columns = (dropped == 0).float().mean(0)  # the four values of one random word are independent
    assert columns.std().item() == pytest.approx((rate * (1 - rate) / 300) ** 0.5, rel=0.15)


def test_the_seed_decides_and_each_call_draws_anew():
    layer = BitDropout(0.3)

    def draws() -> list[torch.Tensor]:
        with forked_torch_rng("dropout", 1):
            return [layer(torch.ones(7, 9)) for _ in range(2)]

    first, second = draws(), draws()
    assert all(torch.equal(*pair) for pair in zip(first, second)) and not torch.equal(*first)


def test_gradients_pass_where_values_do():
    values = torch.ones(50, 50, requires_grad=True)
    with forked_torch_rng("dropout"):
        BitDropout(0.4)(values).sum().backward()
        kept = BitDropout(0.4)
    assert values.grad is not None and set(values.grad.unique().tolist()) == {0.0, values.grad.max().item()}
    assert kept.eval()(values) is values


def test_nothing_or_everything_can_be_dropped_and_half_precision_stays():
    values = torch.ones(5, dtype=torch.bfloat16)
    assert torch.equal(BitDropout(0.0)(values), values)
    assert torch.equal(BitDropout(1.0)(values), torch.zeros_like(values))
    assert BitDropout(0.5)(values).dtype == torch.bfloat16


def test_the_adapter_drops_by_bits(tiny_clip):
    clip = load_clip(f"local-dir:{tiny_clip}", None)
    model = add_lora(clip.model, LoraSettings(r=4, lora_dropout=0.2), 0)
    kinds = [type(module) for module in model.modules() if isinstance(module, torch.nn.Dropout)]
    blocks = len(clip.model.visual.transformer.resblocks) + len(clip.model.transformer.resblocks)
    assert kinds == [BitDropout] * (2 * blocks)
