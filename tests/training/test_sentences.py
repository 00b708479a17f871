from __future__ import annotations

import torch

from varireal.networks.clip import load_clip
from varireal.training.sentences import unpadded

SENTENCES = ["a photo of a glider", "a photo of a very large trijet aircraft", "a biplane"]


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
