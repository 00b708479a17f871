"""Pixel operations against slow formulas written out with NumPy alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from varireal.editing import pixels

SIDE = 12
masks = arrays(bool, (SIDE, SIDE + 3))


def picture(seed: int, height: int = SIDE, width: int = SIDE + 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def slow_distance(mask: np.ndarray) -> np.ndarray:
    """The distance of every pixel to the nearest true one."""
    points = np.argwhere(mask)
    grid = np.stack(np.indices(mask.shape), axis=-1)
    return np.sqrt(((grid[:, :, None] - points) ** 2).sum(-1)).min(-1)


def slow_low_pass(values: np.ndarray, area: np.ndarray, sigma: float) -> np.ndarray:
    """The weighted mean over the area, with a Gaussian cut off at OpenCV's radius."""
    radius = (round(sigma * 8 + 1) | 1) // 2
    result = np.zeros(values.shape)
    for y, x in np.ndindex(area.shape):
        total, weights = 0.0, 0.0
        for v, u in np.argwhere(area):
            if abs(v - y) <= radius and abs(u - x) <= radius:
                weight = math.exp(-((v - y) ** 2 + (u - x) ** 2) / (2 * sigma**2))
                total, weights = total + weight * values[v, u].astype(float), weights + weight
        result[y, x] = total / weights if weights else 0.0
    return result


@settings(max_examples=40, deadline=None)
@given(mask=masks, radius=st.floats(0.5, 6))
def test_dilate_takes_every_pixel_within_the_radius(mask: np.ndarray, radius: float) -> None:
    if not mask.any():
        assert not pixels.dilate(mask, radius).any()
        return
    distance = slow_distance(mask)
    far_from_edge = np.abs(distance - radius) > 2e-3
    assert np.array_equal(pixels.dilate(mask, radius)[far_from_edge], (distance <= radius)[far_from_edge])


def test_dilate_by_nothing_is_the_mask_and_by_one_a_cross() -> None:
    mask = np.zeros((5, 5), bool)
    mask[2, 2] = True
    assert np.array_equal(pixels.dilate(mask, 0), mask)
    assert [tuple(at) for at in np.argwhere(pixels.dilate(mask, 1))] == [(1, 2), (2, 1), (2, 2), (2, 3), (3, 2)]


def test_shrink_erodes_after_closing_gaps() -> None:
    mask = np.zeros((20, 20), bool)
    mask[3:17, 3:17] = True
    mask[9, 3:17] = False  # a slit
    smaller = pixels.shrink(mask, 2)
    assert smaller[6:14, 6:14].all() and not smaller[~np.pad(np.ones((10, 10), bool), 5)].any()
    whole = np.ones((8, 8), bool)
    assert pixels.shrink(whole, 3).all()  # the border of the picture is no edge
    thin = np.zeros((20, 20), bool)
    thin[4, 2:18] = True
    assert np.array_equal(pixels.shrink(thin, 2), thin)


@settings(max_examples=40, deadline=None)
@given(region=masks, sigma=st.floats(0.3, 4))
def test_feather_is_the_inner_half_of_a_blurred_step(region: np.ndarray, sigma: float) -> None:
    weight = pixels.feather(region, sigma)
    assert not weight[~region].any()
    if region.all():
        assert (weight == 1).all()
        return
    depth = slow_distance(~region) - 0.5
    expected = np.vectorize(math.erf)(depth / (math.sqrt(2) * sigma))
    assert np.allclose(weight[region], expected[region], atol=2e-3)


def test_feather_of_zero_is_a_hard_edge() -> None:
    region = np.eye(4, dtype=bool)
    assert np.array_equal(pixels.feather(region, 0), region.astype(np.float32))


def test_blend_is_linear() -> None:
    below, above = picture(0), picture(1)
    weight = np.random.default_rng(2).random(below.shape[:2])
    mixed = pixels.blend(below, above, weight)
    for y, x in [(0, 0), (3, 7), (11, 14)]:
        expected = (1 - weight[y, x]) * below[y, x] + weight[y, x] * above[y, x].astype(float)
        assert np.allclose(mixed[y, x], expected, atol=1e-3)
    assert np.allclose(pixels.blend(below, above, 0.25), 0.75 * below + 0.25 * above.astype(float), atol=1e-3)


@settings(max_examples=40, deadline=None)
@given(mask=masks, seed=st.integers(0, 1000))
def test_composite_keeps_every_pixel_of_weight_zero(mask: np.ndarray, seed: int) -> None:
    below, above = picture(seed), picture(seed + 1)
    weight = mask * np.random.default_rng(seed).random(mask.shape)
    result = pixels.composite(below, above, weight)
    assert np.array_equal(result[weight == 0], below[weight == 0])
    full = pixels.composite(below, above, np.ones(mask.shape))
    assert np.array_equal(full, above)


def test_shading_is_luma_over_the_lit_surface() -> None:
    photo, mask = picture(3), np.zeros((SIDE, SIDE + 3), bool)
    mask[2:9, 3:12] = True
    weights = (0.299, 0.587, 0.114)
    slow = sum(weight * photo[..., channel].astype(float) for channel, weight in enumerate(weights))
    bright = np.percentile(slow[mask], pixels.BRIGHT_PERCENTILE)
    assert np.allclose(pixels.shading(photo, mask), np.clip(slow / bright, *pixels.SHADE_RANGE), atol=1e-4)


def test_shading_of_a_black_object_does_not_divide_by_zero() -> None:
    shade = pixels.shading(np.zeros((4, 4, 3), np.uint8), np.ones((4, 4), bool))
    assert (shade == np.float32(pixels.SHADE_RANGE[0])).all()


@pytest.mark.parametrize("sigma", [0.8, 1.7])
def test_low_pass_sees_the_area_only(sigma: float) -> None:
    values, area = picture(4), np.zeros((SIDE, SIDE + 3), bool)
    area[3:8, 2:7] = True
    area[5:11, 9:13] = True
    near = slow_distance(area) <= 3 * sigma  # farther away hardly any weight is left
    fast, slow = pixels.low_pass(values, area, sigma), slow_low_pass(values, area, sigma)
    assert np.allclose(fast[near], slow[near], atol=0.05)
    changed = np.where(area[..., None], values, 255 - values)
    assert np.array_equal(pixels.low_pass(values, area, sigma), pixels.low_pass(changed, area, sigma))


def test_detail_transfer_is_low_passed_colour_times_relative_luma() -> None:
    edit, source, area = picture(5), picture(6), np.zeros((SIDE, SIDE + 3), bool)
    area[2:10, 4:13] = True
    share, sigma_edit, sigma_source = 0.7, 1.5, 1.2
    fine = source.astype(float) @ [0.299, 0.587, 0.114]
    coarse = slow_low_pass(fine[..., None], area, sigma_source)[..., 0]
    ratio = np.clip((fine + pixels.DETAIL_FLOOR) / (coarse + pixels.DETAIL_FLOOR), *pixels.DETAIL_RANGE)
    detailed = slow_low_pass(edit, area, sigma_edit) * ratio[..., None]
    expected = (1 - share) * edit + share * np.where(area[..., None], detailed, source)
    result = pixels.transfer_detail(edit, source, area, share, sigma_edit, sigma_source)
    assert np.abs(result - np.clip(expected, 0, 255)).max() <= 0.6


def test_detail_transfer_of_nothing_is_the_edit() -> None:
    edit = picture(7)
    assert pixels.transfer_detail(edit, picture(8), np.ones(edit.shape[:2], bool), 0.0, 1, 1) is edit


def test_detail_transfer_on_a_flat_edit_restores_stripes() -> None:
    photo = np.full((16, 16, 3), 200, np.uint8)
    photo[:, ::4] = 60  # windows
    flat = np.full((16, 16, 3), (200, 20, 20), np.uint8)
    result = pixels.transfer_detail(flat, photo, np.ones((16, 16), bool), 1.0, 3.0, 4.0).astype(int)
    assert (result[4:12, 4::4, 0][:, :2] < 120).all()  # the stripes are dark again
    assert (result[4:12, 6, 0] > 180).all()
    assert (result[..., 0] > 5 * result[..., 1]).all()  # and the colour is the edit's


@pytest.mark.parametrize("amount", [0.5, 1.0])
def test_sharpening_adds_the_difference_from_a_blurred_copy(amount: float) -> None:
    values = picture(9).astype(float)
    blurred = ndimage.gaussian_filter(values, (1.0, 1.0, 0), truncate=4, mode="mirror")
    expected = np.clip(values + amount * (values - blurred), 0, 255)
    assert np.abs(pixels.sharpened(picture(9), amount) - expected).max() <= 0.51
    assert pixels.sharpened(values, 0) is values


def test_outline_colours_carries_the_object_outwards() -> None:
    photo, area = np.full((9, 9, 3), 10, np.uint8), np.zeros((9, 9), bool)
    area[:, :4] = True
    photo[:, :4] = (200, 100, 50)
    carried = pixels.outline_colours(photo, area, 1.0)
    assert np.allclose(carried[:, 4:6], (200, 100, 50), atol=0.01)
    assert np.array_equal(carried[:, :4], photo[:, :4])
