from __future__ import annotations

import pytest
import torch
from torch import nn

from varireal.errors import UserError
from varireal.networks.clip import load_clip
from varireal.training.attention import SplitAttention, split_attention


def test_split_towers_compute_what_open_clips_own_do(tiny_clip):
    clip = load_clip(f"local-dir:{tiny_clip}", None)
    generator = torch.Generator().manual_seed(0)
    images, tokens = torch.randn(3, 3, 32, 32, generator=generator), clip.tokenize(["a photo of a glider", "a trijet"])
    with torch.no_grad():
        before = clip.model.encode_image(images), clip.model.encode_text(tokens)
        assert split_attention(clip.model) == 4
        after = clip.model.encode_image(images), clip.model.encode_text(tokens)
    assert not any(isinstance(module, nn.MultiheadAttention) for module in clip.model.modules())
    for ours, own in zip(after, before):
        assert (ours - own).abs().max() <= 1e-5
    assert split_attention(clip.model) == 4  # a second call changes nothing


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("mask", ["none", "causal", "boolean", "per head"])
@pytest.mark.parametrize("bias", [True, False])
def test_masks_layouts_and_biases_are_handled_as_in_torch(batch_first, mask, bias):
    torch_generator = torch.Generator().manual_seed(1)
    source = nn.MultiheadAttention(24, 3, batch_first=batch_first, bias=bias).eval()
    for parameter in source.parameters():
        parameter.data = torch.randn(parameter.shape, generator=torch_generator)
    x = torch.randn(2, 5, 24, generator=torch_generator)
    x = x if batch_first else x.transpose(0, 1)
    boolean = torch.ones(5, 5, dtype=torch.bool).triu(1)
    causal = torch.zeros(5, 5).masked_fill(boolean, float("-inf"))
    masks = {"none": None, "causal": causal, "boolean": boolean}
    masks["per head"] = causal + torch.randn(6, 5, 5, generator=torch_generator)
    expected = source(x, x, x, need_weights=False, attn_mask=masks[mask])[0]
    found = SplitAttention(source)(x, x, x, need_weights=False, attn_mask=masks[mask])[0]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_cross_attention_and_dropout_are_refused():
    for source in (nn.MultiheadAttention(8, 2, kdim=4), nn.MultiheadAttention(8, 2, dropout=0.1)):
        with pytest.raises(ValueError, match="only self-attention"):
            SplitAttention(source)
    with pytest.raises(ValueError, match="no weights"):
        SplitAttention(nn.MultiheadAttention(8, 2))(*3 * [torch.zeros(1, 2, 8)], need_weights=True)


def test_a_resnet_tower_is_refused_by_name():
    import open_clip

    config = {
        "embed_dim": 32,
        "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8, "patch_size": None},
        "text_cfg": {"context_length": 24, "vocab_size": 100, "width": 16, "heads": 2, "layers": 1},
    }
    with pytest.raises(UserError, match=r"its image tower \(ModifiedResNet\) has no blocks that LoRA knows"):
        split_attention(open_clip.CLIP(**config))
