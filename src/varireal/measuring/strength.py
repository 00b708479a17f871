"""How strong an edit is, and whether it changed what it should: distances of colours between a photo and its edit."""

from __future__ import annotations

import dataclasses

import numpy as np

from varireal.editing.pixels import difference

SEEN = 2.3  # CIE 1976 units from which a difference is commonly said to be noticed


@dataclasses.dataclass(frozen=True)
class Strength:
    """What an edit did to the pixels that it should change, and to those that it should keep."""

    delta_e: float  # mean distance of what should change
    untouched: float  # share of what should change that nobody would notice to have changed
    lost: float  # share of what should stay (the object, of a background) that was noticeably given away
    same: bool  # not one pixel differs from the photo


def measure_strength(
    attribute: str, photo: np.ndarray, edit: np.ndarray, mask: np.ndarray, kept: np.ndarray | None = None
) -> Strength:
    """Compare an edit with its photo, uint8 RGB (H, W, 3).

    A pixel at a soft rim is partly background whatever its mask says, and must change by that part: what is lost there
    is the share that was given away.

    Args:
        mask: bool (H, W) of the object, neither empty nor full.
        kept: share of each pixel that was kept where something soft decided, float32 (H, W) in 0..1; elsewhere 0 or 1.
    """
    distance = difference(photo, edit)
    changing = ~mask if attribute == "background" else mask
    seen = (distance >= SEEN).astype(np.float32)
    lost = seen if kept is None else np.where(kept < 1, 1 - kept, 1) * seen
    return Strength(
        delta_e=float(distance[changing].mean()),
        untouched=float((distance[changing] < SEEN).mean()),
        lost=float(lost[~changing].mean(dtype=np.float64)),
        same=bool((photo == edit).all()),
    )
