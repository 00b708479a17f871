from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from varireal.base.files import encode_png, sha256_bytes
from varireal.base.manifest import ImageRecord
from varireal.base.seeding import forked_torch_rng, generator
from varireal.config import AugmentationConfig
from varireal.errors import UserError
from varireal.networks.clip import load_clip
from varireal.training.crops import random_crops, sampling_grid
from varireal.training.data import Augmentation, Rounds, load_images
from varireal.training.pixels import PixelCache


def augmented(pixels: torch.Tensor, seed: int = 0, **settings) -> torch.Tensor:
    with forked_torch_rng("test", seed):
        return Augmentation(AugmentationConfig(**settings))(pixels)


def noise(count: int = 4, side: int = 24) -> torch.Tensor:
    return torch.from_numpy(generator("noise").integers(0, 256, (count, side, side, 3), dtype=np.uint8))


def test_images_are_loaded_in_the_manifests_order_with_their_labels(tiny_clip, tmp_path):
    cache, records = PixelCache(load_clip(f"local-dir:{tiny_clip}", None), tmp_path / "work"), []
    for name, class_index in (("b.png", 1), ("a.png", 0)):
        data = encode_png(noise(1, 32 + class_index)[0].numpy())
        (tmp_path / name).write_bytes(data)
        records.append(ImageRecord(name, path=name, origin="photo", split="train", class_name="x", width=1, height=1,
                                   class_index=class_index, sha256=sha256_bytes(data), photo_id=name))  # fmt: skip
    images = load_images(records, cache, tmp_path)
    assert images.labels.tolist() == [1, 0] and len(images) == len(images.pixels) == 2
    assert np.array_equal(images.pixels[torch.tensor([1])][0].numpy(), noise(1, 32)[0].numpy())
    with pytest.raises(UserError, match=r"nowhere\.png does not exist"):
        load_images([dataclasses.replace(records[0], path="nowhere.png", sha256="0")], cache, tmp_path)
    with pytest.raises(UserError, match="no image to load"):
        load_images([], cache)


@given(st.integers(1, 12), st.integers(1, 9), st.integers(1, 12))
@settings(deadline=None, max_examples=50)
def test_rounds_show_every_image_once_before_any_comes_again(size, count, draws):
    rounds = Rounds(size, "test", 0)
    drawn = torch.cat([rounds.draw(k * count, count) for k in range(draws)]).tolist()
    assert len(drawn) == count * draws
    for start in range(0, len(drawn) - size + 1, size):
        assert sorted(drawn[start : start + size]) == list(range(size))


def test_rounds_depend_on_their_seed_only():
    assert torch.equal(Rounds(50, "a", 1).draw(30, 60), Rounds(50, "a", 1).draw(30, 60))
    assert not torch.equal(Rounds(50, "a", 1).draw(0, 50), Rounds(50, "a", 2).draw(0, 50))
    assert not torch.equal(Rounds(50, "a", 1).draw(0, 50), Rounds(50, "a", 1).draw(50, 50))


def test_random_crops_stay_inside_and_have_the_asked_areas_and_mirrors():
    with forked_torch_rng("crops"):
        maps = random_crops(4000, 0.25, flip=True)
    width, height = maps[:, 0, 0].abs(), maps[:, 1, 1]
    assert (maps[:, 0, 2].abs() + width).max() <= 1 + 1e-6 and (maps[:, 1, 2].abs() + height).max() <= 1 + 1e-6
    area = width * height
    assert 0.25 <= area.min() < 0.26 and 0.99 < area.max() <= 1 and 0.61 < area.mean() < 0.64
    assert (width / height).min() >= 3 / 4 - 1e-5 and (width / height).max() <= 4 / 3 + 1e-5
    assert 0.45 < (maps[:, 0, 0] < 0).float().mean() < 0.55
    assert (random_crops(50, 0.25, flip=False)[:, 0, 0] > 0).all()


def test_the_sampling_grid_is_torchs_affine_grid_and_never_leaves_the_picture():
    with forked_torch_rng("crops"):
        maps = random_crops(200, 0.25, flip=True)
    grid = sampling_grid(maps, 12)
    torch.testing.assert_close(grid, functional.affine_grid(maps, [200, 3, 12, 12], align_corners=False))
    assert grid.abs().max() <= 1


def test_without_crop_and_flip_no_pixel_changes():
    pixels = noise()
    torch.testing.assert_close(augmented(pixels, crop_scale_min=1, flip=False), pixels.float(), atol=1e-3, rtol=0)


def test_a_mirrored_picture_is_the_picture_mirrored():
    pixels = noise(64, 8)
    both = [augmented(pixels, crop_scale_min=0.5, flip=flip) for flip in (True, False)]
    same = [torch.allclose(mirrored, plain, atol=1e-3) for mirrored, plain in zip(*both)]
    assert 10 < sum(same) < 54  # the other half is mirrored: their crops are then elsewhere, mirrored


def test_augmentation_follows_the_seed_and_leaves_torchs_own_generator_alone():
    pixels = noise()
    before = torch.random.get_rng_state()
    first, second, other = (augmented(pixels, seed, color_jitter=1.0, blur=0.5) for seed in (0, 0, 1))
    assert torch.equal(first, second) and not torch.equal(first, other)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize(
    "setting",
    [{"grayscale": 1.0}, {"solarize": 1.0}, {"blur": 1.0}, {"color_jitter": 1.0}, {"randaugment_magnitude": 9}],
)
def test_each_setting_changes_pixels_and_keeps_range_and_shape(setting):
    pixels = noise()
    plain, changed = (
        augmented(pixels, crop_scale_min=1, flip=False),
        augmented(pixels, crop_scale_min=1, flip=False, **setting),
    )
    assert changed.shape == plain.shape and changed.min() >= -1e-3 and changed.max() <= 255.001
    assert not torch.allclose(changed, plain, atol=1)


def test_grayscale_makes_the_channels_equal_and_zero_probability_never_does():
    grey = augmented(noise(), grayscale=1.0)
    torch.testing.assert_close(grey[..., 0], grey[..., 1])
    colour = augmented(noise())
    assert not torch.allclose(colour[..., 0], colour[..., 1], atol=10)
