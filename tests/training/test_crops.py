"""Crops of whole pictures: where they lie, and that only the pixels they need are sampled."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from varireal.base.seeding import forked_torch_rng, generator
from varireal.config import AugmentationConfig
from varireal.training.crops import cut_out, random_crops, sampling_grid
from varireal.training.data import Augmentation


def crops(width: int, height: int, count: int = 4000, scale_min: float = 0.25) -> tuple[torch.Tensor, ...]:
    """Return width and height in pixels, and the edges as shares from -1 to 1, of crops of equal pictures."""
    with forked_torch_rng("crops"):
        maps = random_crops(count, scale_min, True, torch.full((count,), width / height))
    w, h = maps[:, 0, 0].abs(), maps[:, 1, 1]
    edges = torch.stack([maps[:, 0, 2] - w, maps[:, 0, 2] + w, maps[:, 1, 2] - h, maps[:, 1, 2] + h])
    return w * width, h * height, edges


@pytest.mark.parametrize(("width", "height"), [(320, 320), (427, 320), (320, 480), (320, 1000)])
def test_crops_of_whole_pictures_lie_inside_with_ratios_of_three_to_four(width, height):
    w, h, edges = crops(width, height)
    assert edges.abs().max() <= 1 + 1e-5 and min(w.min(), h.min()) > 0
    assert (w / h).min() >= 3 / 4 - 1e-4 and (w / h).max() <= 4 / 3 + 1e-4
    area = w * h / (width * height)
    assert area.max() <= 1 + 1e-5 and (height > 3 * width or 0.25 <= area.min() < 0.26)
    # every corner of a picture is seen now and then
    assert (edges[0].min(), edges[2].min()) == pytest.approx((-1, -1), abs=0.02)
    assert (edges[1].max(), edges[3].max()) == pytest.approx((1, 1), abs=0.02)


def test_a_panorama_gives_the_largest_crop_of_the_nearest_ratio():
    w, h, _ = crops(1000, 100, scale_min=0.5)
    torch.testing.assert_close(h, torch.full_like(h, 100.0))
    torch.testing.assert_close(w, torch.full_like(w, 400 / 3))


def test_for_squares_both_ways_draw_the_same_kind_of_crops():
    w, h, _ = crops(100, 100)
    with forked_torch_rng("crops"):
        maps = random_crops(4000, 0.25, True)
    torch.testing.assert_close(w / 100, maps[:, 0, 0].abs())
    torch.testing.assert_close(h / 100, maps[:, 1, 1])


def test_sampling_the_parts_is_sampling_the_pictures():
    rng = generator("pictures")
    sizes = [(40, 60), (61, 33), (7, 90), (20, 20)]
    pictures = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes] * 5
    aspects = torch.tensor([picture.shape[1] / picture.shape[0] for picture in pictures])
    with forked_torch_rng("crops"):
        maps = random_crops(len(pictures), 0.1, True, aspects)
    maps[0] = torch.tensor([[1.0, 0, 0], [0, 1, 0]])  # a whole picture
    parts, moved = cut_out(pictures, maps)
    found = functional.grid_sample(
        parts.permute(0, 3, 1, 2).float(), sampling_grid(moved, 12), padding_mode="border", align_corners=False
    )
    for picture, own, crop in zip(pictures, maps, found):
        plane = torch.from_numpy(picture).permute(2, 0, 1)[None].float()
        whole = functional.grid_sample(
            plane, functional.affine_grid(own[None], [1, 3, 12, 12], align_corners=False),
            padding_mode="border", align_corners=False,
        )  # fmt: skip
        torch.testing.assert_close(crop, whole[0], atol=0.02, rtol=0)


def test_photos_are_augmented_by_seed_and_as_squares_are():
    photos = list(generator("photos").integers(0, 256, (3, 24, 24, 3), dtype=np.uint8))

    def augmented(seed: int, **settings) -> tuple[torch.Tensor, torch.Tensor]:
        augmentation = Augmentation(AugmentationConfig(**settings))
        with forked_torch_rng("test", seed):
            whole = augmentation.of_photos(photos, 24, torch.device("cpu"))
        with forked_torch_rng("test", seed):
            return whole, augmentation(torch.from_numpy(np.stack(photos)))

    first, squares = augmented(0, solarize=0.5)
    torch.testing.assert_close(first, squares, atol=0.02, rtol=0)
    assert torch.equal(first, augmented(0, solarize=0.5)[0]) and not torch.equal(first, augmented(1, solarize=0.5)[0])
    same, _ = augmented(0, crop_scale_min=1, flip=False)
    torch.testing.assert_close(same, torch.from_numpy(np.stack(photos)).float(), atol=1e-3, rtol=0)
