from __future__ import annotations

import pytest
import torch
from torch import nn

from varireal.config import LoraSettings, TrainConfig
from varireal.networks.clip import load_clip
from varireal.training.lora import add_lora, trainable_parameters
from varireal.training.towers import set_up_towers, unpadded

SENTENCES = ["a photo of a glider", "a photo of a very large trijet aircraft", "a biplane"]


def gradients(tiny_clip, config: TrainConfig) -> torch.Tensor:
    """Gradients of both towers together, of an adapter that is not fresh."""
    clip = load_clip(f"local-dir:{tiny_clip}", None)
    set_up_towers(clip.model, config)
    model = add_lora(clip.model, LoraSettings(r=4, lora_dropout=0.0), 0).train()
    parameters = trainable_parameters(model)
    generator = torch.Generator().manual_seed(0)
    for parameter in parameters:
        parameter.data = 0.1 * torch.randn(parameter.shape, generator=generator)
    pictures = torch.randn(3, 3, 32, 32, generator=generator)
    tokens = clip.tokenize(["a photo of a glider", "a photo of a trijet"])
    logits = (
        clip.logit_scale * model.encode_image(pictures, normalize=True) @ model.encode_text(tokens, normalize=True).T
    )
    return torch.cat([grad.flatten() for grad in torch.autograd.grad(logits.logsumexp(1).sum(), parameters)])


def test_checkpointing_reaches_every_block_of_both_towers_and_changes_no_gradient(tiny_clip, monkeypatch):
    calls = []
    checkpoint = torch.utils.checkpoint.checkpoint
    counted = lambda function, *rest, **options: calls.append(function) or checkpoint(function, *rest, **options)  # noqa: E731
    monkeypatch.setattr("open_clip.transformer.checkpoint", counted)
    plain = gradients(tiny_clip, TrainConfig())
    assert not calls
    saved = gradients(tiny_clip, TrainConfig(gradient_checkpointing=True))
    assert len(calls) == 4
    assert (saved - plain).abs().max() <= 1e-5


@pytest.mark.parametrize("checkpointing", [False, True])
def test_compiled_towers_give_the_same_gradients(tiny_clip, monkeypatch, checkpointing):
    """Traced and differentiated ahead of time; only the code generator is left out, which takes minutes."""
    compiled = []
    compile_module = nn.Module.compile
    monkeypatch.setattr(
        nn.Module, "compile", lambda module: compiled.append(module) or compile_module(module, backend="aot_eager")
    )
    plain = gradients(tiny_clip, TrainConfig())
    assert not compiled
    found = gradients(tiny_clip, TrainConfig(compile=True, gradient_checkpointing=checkpointing))
    assert len(compiled) == 2
    torch.testing.assert_close(found, plain, atol=1e-4, rtol=1e-4)


def test_without_padding_the_features_are_the_same(tiny_clip):
    clip = load_clip(f"local-dir:{tiny_clip}", None)
    padded, whole = clip.tokenize(SENTENCES), clip.encode_texts(SENTENCES)
    with unpadded(clip, SENTENCES) as tokens, torch.no_grad():
        short = clip.model.encode_text(tokens, normalize=True)
    assert tokens.shape[1] < padded.shape[1] and torch.equal(tokens, padded[:, : tokens.shape[1]])
    assert (padded[:, tokens.shape[1] :] == 0).all() and (tokens[:, -1] != 0).any()
    torch.testing.assert_close(short, whole, atol=1e-6, rtol=1e-5)
    assert torch.equal(clip.encode_texts(SENTENCES), whole)  # the tower is as it was


def test_a_tower_that_looks_at_every_place_keeps_them(tiny_clip):
    clip = load_clip(f"local-dir:{tiny_clip}", None)
    clip.model.attn_mask = None
    with unpadded(clip, SENTENCES) as tokens:
        assert torch.equal(tokens, clip.tokenize(SENTENCES))
