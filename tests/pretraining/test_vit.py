"""Patches that a tower looks at, and its starting weights."""

import pytest
import torch

from varireal_pretraining.vit import ChosenPatches, choose_patches, patch_masks, set_attention, set_patch_filters


@pytest.fixture
def visual():
    from open_clip.transformer import VisionTransformer

    torch.manual_seed(0)
    return VisionTransformer(image_size=32, patch_size=8, width=32, layers=2, heads=2, mlp_ratio=2.0, output_dim=16)


def test_patch_masks_run_row_by_row_as_the_tower_cuts_them():
    masks = torch.zeros(1, 1, 32, 32)
    masks[0, 0, 8:16, 16:24] = 1  # second row, third column of a 4 x 4 grid
    patches = patch_masks(masks, 8)
    assert patches.shape == (1, 16, 64)
    assert patches.sum(-1).argmax().item() == 6
    assert patches.sum().item() == 64


def test_touched_patches_are_chosen_first_and_only_once():
    masks = torch.zeros(2, 16, 64)
    masks[0, [3, 7], 5] = 1
    chosen = choose_patches(masks, 4, torch.Generator().manual_seed(0))
    assert chosen.shape == (2, 4)
    assert {3, 7} <= set(chosen[0].tolist())
    assert all(len(set(row)) == 4 for row in chosen.tolist())


def test_keeping_all_patches_in_another_order_changes_nothing(visual):
    pictures = torch.randn(2, 3, 32, 32)
    whole = visual(pictures)
    visual.patch_dropout = ChosenPatches()
    visual.patch_dropout.kept = torch.stack([torch.randperm(16), torch.randperm(16)])
    torch.testing.assert_close(visual(pictures), whole, rtol=1e-4, atol=1e-5)
    visual.patch_dropout.kept = None
    torch.testing.assert_close(visual(pictures), whole)


def test_patch_filters_are_the_main_directions_of_the_patches(visual):
    flat = torch.randn(64, 1, 1, 1).expand(64, 3, 32, 32)  # every patch is one grey
    set_patch_filters(visual, flat + 1e-3 * torch.randn(64, 3, 32, 32))
    first = visual.conv1.weight[0].flatten()
    grey = torch.ones_like(first) / first.numel() ** 0.5
    assert abs(torch.nn.functional.cosine_similarity(first, grey, dim=0).item()) > 0.999


def test_attention_starts_near_multiples_of_the_identity(visual):
    set_attention(visual, torch.Generator().manual_seed(0))
    attention = visual.transformer.resblocks[0].attn
    query, key, value = attention.in_proj_weight.detach().chunk(3)
    for weights in (query.T @ key, -(value.T @ attention.out_proj.weight.detach().T)):
        assert weights.diagonal().mean() > 3 * (weights - weights.diagonal().diag()).mean().abs()
        assert weights.diagonal().mean() > 0.2
