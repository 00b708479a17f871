"""SigLIP 2, MobileCLIP2's transformers and Perception Encoder: open_clip's models whose image tower is timm's."""

from __future__ import annotations

import pytest
import torch
from tests.training.timm_towers import KINDS, save_timm_clip
from torch import nn

from varireal.config import LoraSettings, TrainConfig
from varireal.errors import UserError
from varireal.networks.clip import load_clip
from varireal.training.attention import SplitProjections, joined_state, split_attention
from varireal.training.lora import (
    adapter_bytes,
    add_lora,
    learning,
    load_adapter,
    merged,
    remove_lora,
    trainable_parameters,
)
from varireal.training.towers import set_up_towers, unpadded

SENTENCES = ["a photo of a glider", "a trijet"]


@pytest.fixture(scope="module", params=KINDS)
def folder(request, tmp_path_factory):
    return save_timm_clip(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture
def clip(folder):
    return load_clip(f"local-dir:{folder}", None)


def logits(clip, model) -> torch.Tensor:
    pictures = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), unpadded(clip, SENTENCES) as tokens:
        texts = model.encode_text(tokens, normalize=True)
        return clip.logit_scale * model.encode_image(pictures, normalize=True) @ texts.T


def disturb(model) -> None:
    generator = torch.Generator().manual_seed(1)
    for parameter in trainable_parameters(model):
        parameter.data = 0.2 * torch.randn(parameter.shape, generator=generator)


def test_split_projections_keep_the_logits_and_a_fresh_adapter_changes_none(clip):
    before = logits(clip, clip.model)
    assert (before[0] - before[1]).abs().max() > 1e-3  # the pictures are told apart
    assert split_attention(clip.model) == 4
    after = logits(clip, clip.model)
    assert (after - before).abs().max() <= 1e-5
    model = add_lora(clip.model, LoraSettings(r=4), 0)
    assert torch.equal(logits(clip, model.eval()), after)
    trained = [name for name, _ in model.named_parameters() if _.requires_grad]
    image = [name.split(".blocks.")[1] for name in trained if "visual.trunk" in name]
    assert {name.split(".lora_")[0] for name in image} == {
        f"{block}.attn.qkv.{each}" for block in (0, 1) for each in ("q_proj", "v_proj")
    }
    assert len(image) == 8 and len(trained) == 16  # A and B of two projections in two blocks a tower


def test_adapters_are_saved_loaded_merged_and_removed(clip, folder, tmp_path):
    split_attention(clip.model)
    before = logits(clip, clip.model)
    model = add_lora(clip.model, LoraSettings(r=4), 0)
    disturb(model)
    trained = logits(clip, model.eval())
    with merged(model):
        torch.testing.assert_close(logits(clip, model), trained, atol=1e-4, rtol=1e-4)
    for name, data in adapter_bytes(model).items():
        (tmp_path / name).write_bytes(data)
    assert torch.equal(logits(clip, remove_lora(model)), before) and (trained - before).abs().max() > 0.1
    fresh = load_clip(f"local-dir:{folder}", None)
    assert torch.equal(logits(fresh, load_adapter(fresh.model, tmp_path)), trained)


def test_the_joined_weights_load_where_nothing_is_split(clip, folder):
    own = load_clip(f"local-dir:{folder}", None).model
    expected = {name: value.clone() for name, value in own.state_dict().items()}
    split_attention(clip.model)
    state = joined_state(clip.model)
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], value) for name, value in expected.items())


def test_learning_leaves_every_number_of_the_network_alone(clip):
    """MobileCLIP2-B's stem has batch normalisations, whose means would carry images over into the next fine-tuning."""
    set_up_towers(clip.model, TrainConfig())
    state = {name: value.clone() for name, value in clip.model.state_dict().items()}
    model = add_lora(clip.model, LoraSettings(r=4), 0)
    learning(model)
    model.encode_image(3 * torch.ones(2, 3, 32, 32)).sum().backward()
    assert model.training and all(parameter.grad is not None for parameter in trainable_parameters(model)[:2])
    found = remove_lora(model).state_dict()
    assert all(torch.equal(found[name], value) for name, value in state.items())


def gradients(folder, config: TrainConfig) -> torch.Tensor:
    clip = load_clip(f"local-dir:{folder}", None)
    set_up_towers(clip.model, config)
    model = add_lora(clip.model, LoraSettings(r=4, lora_dropout=0.0), 0)
    disturb(model)
    learning(model)
    pictures = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    texts = model.encode_text(clip.tokenize(SENTENCES), normalize=True)
    loss = (model.encode_image(pictures, normalize=True) @ texts.T).logsumexp(1).sum()
    return torch.cat([grad.flatten() for grad in torch.autograd.grad(loss, trainable_parameters(model))])


def test_checkpointing_changes_no_gradient(folder, monkeypatch):
    plain = gradients(folder, TrainConfig())
    calls, checkpoint = [], torch.utils.checkpoint.checkpoint
    for where in ("open_clip.transformer.checkpoint", "torch.utils.checkpoint.checkpoint"):  # the latter is timm's
        counted = lambda *given, where=where, **named: calls.append(where) or checkpoint(*given, **named)  # noqa: E731
        monkeypatch.setattr(where, counted)
    saved = gradients(folder, TrainConfig(gradient_checkpointing=True))
    assert len(calls) == 4 and len(set(calls)) == 2  # two blocks a tower
    assert (saved - plain).abs().max() <= 1e-5 and plain.abs().max() > 1e-3


def test_a_tower_of_convolutions_is_refused_by_name():
    class Tower(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.trunk = nn.Sequential(nn.Conv2d(3, 3, 1))

    with pytest.raises(UserError, match=r"its image tower \(Sequential\) has no blocks that LoRA knows; choose"):
        split_attention(nn.ModuleDict({"visual": Tower(), "text": nn.Identity()}))


def test_biases_are_split_too():
    source = nn.Linear(4, 6)
    x = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(SplitProjections(source)(x), source(x))
