"""Photos on the model's square, and back."""

from __future__ import annotations

import numpy as np
import pytest

from varireal.editing.letterbox import Letterbox


def smooth(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    waves = [128 + 100 * np.sin(y / height * 3 + k) * np.cos(x / width * 4) for k in range(3)]
    return np.rint(np.stack(waves, -1)).astype(np.uint8)


def test_a_photo_of_the_square_s_size_is_untouched() -> None:
    photo, mask = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8), np.eye(64, dtype=bool)
    box = Letterbox(64, 64, 64)
    assert np.array_equal(box.image(photo), photo)
    assert np.array_equal(box.mask(mask), mask)
    assert np.array_equal(box.back(photo), photo)
    assert box.scale == 1


@pytest.mark.parametrize(("height", "width"), [(32, 64), (64, 20), (1, 64), (64, 1)])
def test_a_photo_that_fits_comes_back_to_the_bit(height: int, width: int) -> None:
    photo = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    box = Letterbox(height, width, 64)
    square = box.image(photo)
    assert square.shape == (64, 64, 3)
    top, left = (64 - height) // 2, (64 - width) // 2
    assert np.array_equal(square[top : top + height, left : left + width], photo)
    assert np.array_equal(box.back(square), photo)


@pytest.mark.parametrize(("height", "width"), [(300, 200), (97, 513), (40, 30), (3000, 1)])
def test_other_photos_come_back_nearly_the_same(height: int, width: int) -> None:
    photo = smooth(height, width)
    back = Letterbox(height, width, 128).back(Letterbox(height, width, 128).image(photo))
    assert back.shape == photo.shape
    assert np.abs(back.astype(int) - photo).mean() < 2.0


def test_bars_mirror_the_photo_and_are_never_masked() -> None:
    photo = smooth(16, 32)
    box = Letterbox(16, 32, 32)
    square, mask = box.image(photo), box.mask(np.ones((16, 32), bool))
    assert np.array_equal(square[7], photo[0])  # the row above the photo is its first row again
    assert np.array_equal(square[0], photo[7])
    assert mask[8:24].all() and not mask[:8].any() and not mask[24:].any()


def test_a_mask_keeps_pixels_that_are_half_covered() -> None:
    mask = np.zeros((4, 4), bool)
    mask[:, 0] = True  # half of each pixel of the smaller square's first column
    mask[0, 2] = True  # a quarter
    assert np.argwhere(Letterbox(4, 4, 2).mask(mask)).tolist() == [[0, 0], [1, 0]]


def test_the_scale_is_photo_pixels_per_pixel_of_the_square() -> None:
    assert Letterbox(512, 256, 128).scale == 4
    assert Letterbox(32, 64, 128).scale == 0.5
