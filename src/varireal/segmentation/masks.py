"""Mending masks, what makes one unusable, and how well it fits the truth."""

from __future__ import annotations

from typing import TYPE_CHECKING

from varireal.config import SegmentConfig

if TYPE_CHECKING:
    import numpy as np

    from varireal.config.data import CleaningConfig


def mask_problem(mask: np.ndarray, config: SegmentConfig) -> str | None:
    """Say why a mask, bool (H, W), cannot be used, or None: ``"<reason>: <figure and bounds>"``.

    Areas are shares of the photo, border contact a share of its outermost pixels, the main fragment a share of the
    mask. Every bound itself is still allowed.
    """
    if not mask.any():
        return "empty"
    area = float(mask.mean())
    bounds = f"{area:.2%} of the photo, allowed are {config.min_area:.2%} to {config.max_area:.2%}"
    if area < config.min_area:
        return f"too small: {bounds}"
    if area > config.max_area:
        return f"too large: {bounds}"
    if (border := border_share(mask)) > config.max_border:
        return f"at the border: it holds {border:.2%} of the photo's border, allowed are {config.max_border:.2%}"
    if (main := main_fragment_share(mask)) < config.min_main_fragment:
        return f"scattered: its largest fragment is {main:.2%} of it, {config.min_main_fragment:.2%} are needed"
    return None


def border_share(mask: np.ndarray) -> float:
    """Return the share of the photo's outermost pixels that belong to a mask, bool (H, W); in [0, 1]."""
    import numpy as np

    outline = np.ones_like(mask)
    outline[1:-1, 1:-1] = False
    return float(mask[outline].mean())


def main_fragment_share(mask: np.ndarray) -> float:
    """Return the share of a mask, bool (H, W) and not empty, that its largest fragment makes up; in (0, 1]."""
    _, areas = _fragments(mask)
    return int(areas.max()) / int(areas.sum())


def clean_mask(mask: np.ndarray, config: CleaningConfig) -> np.ndarray:
    """Return a mask, bool (H, W), without its small fragments and with its small holes filled.

    Pixels that touch at a corner belong to the same fragment; a hole is closed where only corners would connect it
    to the outside. Fragments are dropped first, and the holes are compared with what is left.
    """
    import numpy as np

    if not mask.any():
        return mask
    if config.min_fragment > 0:
        labels, areas = _fragments(mask)
        large = areas >= config.min_fragment * areas.max()
        mask = np.concatenate([[False], large])[labels]
    if config.max_hole > 0:
        labels, areas = _fragments(~mask, connectivity=4)
        hole = areas <= config.max_hole * mask.sum()
        for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
            hole[edge[edge > 0] - 1] = False  # the outside
        mask = mask | np.concatenate([[False], hole])[labels]
    return mask


def _fragments(mask: np.ndarray, connectivity: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Return the connected parts of a mask: labels (H, W) from 1, 0 elsewhere, and the area of each in pixels."""
    import cv2
    import numpy as np

    _, labels, figures, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=connectivity)
    return labels, figures[1:, cv2.CC_STAT_AREA]


def iou(first: np.ndarray, second: np.ndarray) -> float:
    """Return intersection over union of two bool masks (H, W), in [0, 1]; two empty masks agree: 1.

    Raises:
        ValueError: the shapes differ.
    """
    if first.shape != second.shape:
        raise ValueError(f"masks of shapes {first.shape} and {second.shape} cannot be compared")
    union = int((first | second).sum())
    return int((first & second).sum()) / union if union else 1.0
