"""Figures by which the pretrained models are judged."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from varireal.world.vocabulary import COLORS


def psnr(truth: np.ndarray, guess: np.ndarray) -> float:
    """Return the peak signal-to-noise ratio in dB over all pixels of two uint8 arrays of one shape."""
    error = np.mean((truth.astype(np.float64) - guess.astype(np.float64)) ** 2)
    return float(10 * np.log10(255**2 / error))


def _lab(rgb: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(rgb.astype(np.float32).reshape(-1, 1, 3) / 255, cv2.COLOR_RGB2LAB)[:, 0]


def nearest_color(image: np.ndarray, mask: np.ndarray) -> str:
    """Return the palette colour that most of the object's pixels are nearest to in CIELAB hue and lightness.

    Args:
        image: uint8 RGB (H, W, 3).
        mask: bool (H, W), true on the object; its border pixels, mixed with the background, are left out if possible.
    """
    inner = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    pixels = _lab(image[inner if inner.sum() > 30 else mask])
    palette = _lab(np.array(list(COLORS.values())))
    # Shading moves lightness much more than hue, so lightness counts half.
    weights = np.array([0.5, 1, 1], np.float32)
    distance = np.linalg.norm((pixels[:, None] - palette[None]) * weights, axis=-1)
    votes = np.bincount(distance.argmin(1), minlength=len(palette))
    return tuple(COLORS)[int(votes.argmax())]


def recognised_colors(images: np.ndarray, masks: np.ndarray, names: Sequence[str]) -> dict[str, float]:
    """Return for each asked colour the share of pictures whose :func:`nearest_color` it is, and their mean ("all")."""
    hits: dict[str, list[float]] = {}
    for image, mask, name in zip(images, masks, names, strict=True):
        hits.setdefault(name, []).append(float(nearest_color(image, mask) == name))
    shares = {name: round(float(np.mean(hits[name])), 3) for name in sorted(hits)}
    return {**shares, "all": round(float(np.mean([hit for hit_list in hits.values() for hit in hit_list])), 3)}
