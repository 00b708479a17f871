"""Canny guidance against a computation from its definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from varireal.editing.pixels import blurred_edges, canny_edges, on_grey


def sharp(photo: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The study's way: edges of the colour picture, the low threshold from a copy blurred by means of 5 x 5."""
    white = np.where(mask[..., None], photo, 255).astype(np.int64)
    means = ndimage.uniform_filter(white.astype(float), (5, 5, 0), mode="mirror")
    return reference(white, np.floor(0.7 * np.median(np.rint(means))))


def blurred(photo: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Edges of the grey picture after a binomial blur, whose median decides too."""
    white = np.where(mask[..., None], photo, 255).astype(np.int64)
    # BT.601 luma in fixed point of 15 bits, rounded
    grey = (white @ np.array([9798, 19235, 3735]) + (1 << 14)) >> 15
    binomial = np.array([1, 4, 6, 4, 1])
    summed = ndimage.convolve(grey, np.outer(binomial, binomial), mode="mirror")
    smooth = (summed + 128) >> 8
    return reference(smooth[..., None], np.floor(0.7 * np.median(smooth)))


def reference(planes: np.ndarray, low: float, high: float = 255.0) -> np.ndarray:
    """Edges by the definition: Sobel, maxima along the gradient's direction, two thresholds; in plain numpy.

    The gradient's direction is one of four, as in OpenCV: within 22.5 degrees of an axis, or else a diagonal. Of
    several channels the steepest counts at each pixel.
    """
    slope, mean = np.array([[-1, 0, 1]]), np.array([[1, 2, 1]])
    each = [ndimage.correlate(plane, mean.T * slope, mode="nearest") for plane in np.moveaxis(planes, -1, 0)]
    other = [ndimage.correlate(plane, slope.T * mean, mode="nearest") for plane in np.moveaxis(planes, -1, 0)]
    steepest = (np.abs(each) + np.abs(other)).argmax(0)[None]
    dx, dy = (np.take_along_axis(np.array(one), steepest, 0)[0] for one in (each, other))
    size = np.abs(dx) + np.abs(dy)
    padded = np.pad(size, 1)
    around = {
        (y, x): padded[1 + y : 1 + y + size.shape[0], 1 + x : 1 + x + size.shape[1]]
        for y in (-1, 0, 1)
        for x in (-1, 0, 1)
    }
    ratio = np.abs(dy) / np.maximum(np.abs(dx), 1e-9)
    flat, steep = ratio < np.tan(np.pi / 8), ratio > np.tan(3 * np.pi / 8)
    falls = (dx < 0) != (dy < 0)  # the gradient points up and right, or down and left
    thin = np.select(
        [flat, steep, falls],
        [
            (size > around[0, -1]) & (size >= around[0, 1]),
            (size > around[-1, 0]) & (size >= around[1, 0]),
            (size > around[-1, 1]) & (size > around[1, -1]),
        ],
        (size > around[-1, -1]) & (size > around[1, 1]),
    )
    weak = thin & (size > low)
    strong = thin & (size > high)
    labels, _ = ndimage.label(weak, structure=np.ones((3, 3)))
    return weak & np.isin(labels, np.unique(labels[strong]))


def disc(side: int, radius: float) -> np.ndarray:
    y, x = np.mgrid[0:side, 0:side]
    return np.hypot(y - side / 2, x - side / 2) < radius


@pytest.mark.parametrize(("found", "defined"), [(canny_edges, sharp), (blurred_edges, blurred)])
@pytest.mark.parametrize("seed", range(4))
def test_edges_are_those_of_the_definition(seed: int, found: Any, defined: Any) -> None:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (8, 8, 3)).astype(float)
    photo = np.clip(coarse.repeat(8, 0).repeat(8, 1) + rng.normal(0, 12, (64, 64, 3)), 0, 255).astype(np.uint8)
    mask = disc(64, 12 + 8 * (seed % 3)) if seed else np.ones((64, 64), bool)
    edges = found(photo, mask)
    assert edges.dtype == bool and edges.sum() > 50
    assert np.array_equal(edges, defined(photo, mask))


def test_fine_stripes_of_one_lightness_are_edges_of_the_sharp_colour_picture_alone() -> None:
    photo = np.full((64, 64, 3), (200, 60, 60), np.uint8)
    photo[:, 32:] = (60, 132, 60)  # the same luma to 1
    whole = np.ones((64, 64), bool)
    assert canny_edges(photo, whole)[:, 30:34].any(1).all() and not blurred_edges(photo, whole).any()


def test_the_outline_of_a_dark_object_is_an_edge_and_the_background_has_none() -> None:
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    mask = disc(64, 20)
    photo[mask] = 30
    edges = canny_edges(photo, mask)
    ring = ndimage.binary_dilation(mask, iterations=3) & ~ndimage.binary_erosion(mask, iterations=3)
    assert edges.any() and not edges[~ring].any()
    angles = np.arctan2(*(np.argwhere(edges) - 32).T)
    assert np.diff(np.sort(angles)).max() < 0.2  # closed all around


def test_an_object_on_grey() -> None:
    photo = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    shown = on_grey(photo, np.array([[True, False], [False, True]]), 100)
    assert shown.tolist() == [[[0, 1, 2], [100] * 3], [[100] * 3, [9, 10, 11]]]
    assert shown.dtype == np.uint8
