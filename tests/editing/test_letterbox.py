"""Photos on the model's square, and back."""

from __future__ import annotations

import numpy as np
import pytest

from varireal.editing.pixels import Letterbox, dilate


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


# portrait, panorama, sides that no 8 divides, smaller and larger than the square, a line
SHAPES = [(300, 200), (97, 513), (131, 77), (40, 30), (1000, 129), (3000, 1)]


def shrunk(values: np.ndarray, length: int) -> np.ndarray:
    """Means over equal parts of the first axis; a pixel that two parts share counts by its share."""
    edges = np.linspace(0, len(values), length + 1)
    covered = np.minimum(np.arange(1, len(values) + 1), edges[1:, None]) - np.maximum(
        np.arange(len(values)), edges[:-1, None]
    )
    weights = np.clip(covered, 0, None)
    return np.tensordot(weights / weights.sum(1, keepdims=True), values, 1)


def enlarged(values: np.ndarray, length: int) -> np.ndarray:
    """Cubic convolution along the first axis with OpenCV's a = -0.75; beyond the ends the last pixel goes on."""
    a, places = -0.75, (np.arange(length) + 0.5) * len(values) / length - 0.5
    first = np.floor(places).astype(int)
    result = np.zeros((length, *values.shape[1:]))
    for tap in range(-1, 3):
        d = np.abs(places - (first + tap))
        near, far = (a + 2) * d**3 - (a + 3) * d**2 + 1, a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a
        weight = np.where(d <= 1, near, np.where(d < 2, far, 0))
        result += weight.reshape(-1, *[1] * (values.ndim - 1)) * values[np.clip(first + tap, 0, len(values) - 1)]
    return result


def resized(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """The picture at another size by the two formulas above, rounded."""
    if picture.shape[:2] == (height, width):
        return picture.astype(float)
    along = shrunk if height * width < picture.shape[0] * picture.shape[1] else enlarged
    rows = along(picture.astype(float), height)
    return np.clip(np.rint(along(rows.swapaxes(0, 1), width).swapaxes(0, 1)), 0, 255)


@pytest.mark.parametrize(("height", "width"), SHAPES)
def test_there_and_back_follows_the_formulas_of_means_and_cubic_convolution(height: int, width: int) -> None:
    photo = np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    box, scale = Letterbox(height, width, 128), max(height, width) / 128
    inner_height, inner_width = max(1, round(height / scale)), max(1, round(width / scale))
    inner = resized(photo, inner_height, inner_width)
    square = box.image(photo)
    top, left = (128 - inner_height) // 2, (128 - inner_width) // 2
    within = square[top : top + inner_height, left : left + inner_width].astype(int)
    assert np.abs(within - inner).max() <= 1
    assert np.abs(box.back(square) - resized(within, height, width)).max() <= 1


@pytest.mark.parametrize(("height", "width"), SHAPES)
def test_a_smooth_photo_comes_back_within_a_bound(height: int, width: int) -> None:
    """With slopes of at most m and curvatures of at most c a pixel, and s pixels of the photo to one of the square:

    means over s pixels are off by c s^2 / 24; cubic convolution with a = -0.75 is off by 0.05 of the slope and c / 8 of
    the curvature between the square's pixels; two roundings add 1. Half a pixel of the square at the border has no
    neighbour beyond, so there half a slope comes on top. The waves of both directions add up.
    """
    box = Letterbox(height, width, 128)
    s = max(box.scale, 1.0)
    slope = 100 * (3 / height + 4 / width)
    curvature = 100 * (3 / height + 4 / width) ** 2  # with the mixed derivative
    inside = 1 + 0.05 * s * slope + (1 / 24 + 1 / 8) * s**2 * curvature
    photo = smooth(height, width)
    error = np.abs(box.back(box.image(photo)).astype(int) - photo)
    assert error.shape == photo.shape
    rim = int(np.ceil(s))
    middle = error[rim:-rim, rim:-rim]
    assert middle.size == 0 or middle.max() <= inside
    assert error.max() <= inside + 0.5 * s * slope
    assert error.max() <= 8 or min(height, width) == 1


@pytest.mark.parametrize(("height", "width"), SHAPES[:-1])
def test_what_is_painted_in_the_mask_comes_back_in_the_mask(height: int, width: int) -> None:
    """To within one pixel of the square, whatever the shape of the photo."""
    y, x = np.mgrid[0:height, 0:width]
    mask = ((y - 0.6 * height) / (0.3 * height)) ** 2 + ((x - 0.4 * width) / (0.35 * width)) ** 2 < 1
    box = Letterbox(height, width, 128)
    square = box.image(np.zeros((height, width, 3), np.uint8))
    square[box.mask(mask)] = 255
    painted = box.back(square)[..., 0] > 127
    margin = 1.5 * max(box.scale, 1.0)
    assert painted[~dilate(~mask, margin)].all() and not painted[~dilate(mask, margin)].any()


def test_bars_mirror_the_photo_and_are_never_masked() -> None:
    photo = smooth(16, 32)
    box = Letterbox(16, 32, 32)
    square, mask = box.image(photo), box.mask(np.ones((16, 32), bool))
    assert np.array_equal(square[7], photo[0])  # the row above the photo is its first row again
    assert np.array_equal(square[0], photo[7])
    assert mask[8:24].all() and not mask[:8].any() and not mask[24:].any()


@pytest.mark.parametrize(("height", "width"), [(16, 32), (32, 12), (40, 100)])
def test_black_bars_lie_right_of_the_photo_or_below_it_and_are_painted_where_asked(height: int, width: int) -> None:
    photo, whole = np.maximum(smooth(height, width), 1), np.ones((height, width), bool)
    box, centred = Letterbox(height, width, 32, black=True), Letterbox(height, width, 32)
    square = box.image(photo)
    inner_height, inner_width = round(height / box.scale), round(width / box.scale)
    bars = np.ones((32, 32), bool)
    bars[:inner_height, :inner_width] = False
    assert not square[bars].any() and square[~bars].all()
    assert np.array_equal(box.mask(whole, bars=True), np.ones((32, 32), bool))
    assert np.array_equal(box.mask(whole), ~bars) and np.array_equal(box.mask(~whole, bars=True), bars)
    assert np.array_equal(box.back(square), centred.back(centred.image(photo)))


def test_a_mask_keeps_pixels_that_are_half_covered() -> None:
    mask = np.zeros((4, 4), bool)
    mask[:, 0] = True  # half of each pixel of the smaller square's first column
    mask[0, 2] = True  # a quarter
    assert np.argwhere(Letterbox(4, 4, 2).mask(mask)).tolist() == [[0, 0], [1, 0]]


def test_the_scale_is_photo_pixels_per_pixel_of_the_square() -> None:
    assert Letterbox(512, 256, 128).scale == 4
    assert Letterbox(32, 64, 128).scale == 0.5
