"""How strong an edit is, and whether it changed what it should: distances of colours between a photo and its edit."""

from __future__ import annotations

import dataclasses

import numpy as np

SEEN = 2.3  # CIE 1976 units from which a difference is commonly said to be noticed


@dataclasses.dataclass(frozen=True)
class Strength:
    """What an edit did to the pixels that it should change, and to those that it should keep."""

    delta_e: float  # mean distance of what should change
    untouched: float  # share of what should change that nobody would notice to have changed
    lost: float  # share of what should stay (the object, of a background) that is noticeably changed
    same: bool  # not one pixel differs from the photo


def colour_distance(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the distance of colours (CIE 1976, ``ΔE*ab``) pixel by pixel, float32 (H, W), of uint8 RGB pictures."""
    import cv2

    lab = [cv2.cvtColor(each.astype(np.float32) / 255, cv2.COLOR_RGB2LAB) for each in (first, second)]
    return np.linalg.norm(lab[0] - lab[1], axis=2)


def measure_strength(attribute: str, photo: np.ndarray, edit: np.ndarray, mask: np.ndarray) -> Strength:
    """Compare an edit with its photo, uint8 RGB (H, W, 3); the mask, bool (H, W), is the object's."""
    distance = colour_distance(photo, edit)
    changing = ~mask if attribute == "background" else mask
    return Strength(
        delta_e=float(distance[changing].mean()),
        untouched=float((distance[changing] < SEEN).mean()),
        lost=float((distance[~changing] >= SEEN).mean()),
        same=bool((photo == edit).all()),
    )
