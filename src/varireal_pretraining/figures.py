"""Figures by which the autoencoder is judged."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from varireal.datasets.world.vocabulary import COLORS
from varireal_pretraining.palette import nearest_palette_color


def psnr(truth: np.ndarray, guess: np.ndarray) -> float:
    """Return the peak signal-to-noise ratio in dB over all pixels of two uint8 arrays of one shape."""
    error = np.mean((truth.astype(np.float64) - guess.astype(np.float64)) ** 2)
    return float(10 * np.log10(255**2 / error))


def recognised_colors(images: np.ndarray, masks: np.ndarray, names: Sequence[str]) -> dict[str, float]:
    """Return for each asked colour the share of pictures whose nearest palette colour it is, and their mean ("all").

    Args:
        images: uint8 (N, H, W, 3).
        masks: bool (N, H, W), true on the objects.
        names: the asked colours, N of them.
    """
    hits: dict[str, list[float]] = {name: [] for name in sorted(set(names))}
    for image, mask, name in zip(images, masks, names, strict=True):
        hits[name].append(float(nearest_palette_color(image, mask, COLORS) == name))
    every = [hit for found in hits.values() for hit in found]
    shares = {name: round(float(np.mean(found)), 3) for name, found in hits.items()}
    return {**shares, "all": round(float(np.mean(every)), 3)}
