"""What makes a mask usable, and how well it fits the truth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np

Problem = Literal["empty", "too small", "too large"]


def mask_problem(mask: np.ndarray, min_area: float, max_area: float) -> Problem | None:
    """Say why a mask, bool (H, W), cannot be used, or None.

    Areas are shares of the photo; both bounds are still allowed.
    """
    if not mask.any():
        return "empty"
    area = float(mask.mean())
    if area < min_area:
        return "too small"
    return "too large" if area > max_area else None


def iou(first: np.ndarray, second: np.ndarray) -> float:
    """Return intersection over union of two bool masks (H, W), in [0, 1]; two empty masks agree: 1.

    Raises:
        ValueError: the shapes differ.
    """
    if first.shape != second.shape:
        raise ValueError(f"masks of shapes {first.shape} and {second.shape} cannot be compared")
    union = int((first | second).sum())
    return int((first & second).sum()) / union if union else 1.0
