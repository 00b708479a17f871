"""Which of several detections is the photo's object."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from varireal.config.data import ChoiceConfig

SCORE_DECIMALS = 4  # as shown in the manifest
BOX_DECIMALS = 1


@dataclass(frozen=True)
class Detection:
    """Names a box that a detector answers."""

    box: tuple[float, float, float, float]  # left, top, right, bottom in pixels of the photo
    score: float  # in [0, 1]

    def clipped(self, size: tuple[int, int]) -> Detection:
        """Return it within a photo of size (H, W)."""
        left, top, right, bottom = self.box
        height, width = size
        box = (_within(left, width), _within(top, height), _within(right, width), _within(bottom, height))
        return Detection(box, self.score)

    def details(self, phrase: str, candidates: int) -> dict[str, Any]:
        """Return what the manifest says about the chosen detection, as JSON values."""
        return {
            "phrase": phrase,
            "score": round(self.score, SCORE_DECIMALS),
            "box": [round(edge, BOX_DECIMALS) for edge in self.box],
            "candidates": candidates,
        }


def _within(value: float, limit: int) -> float:
    return min(max(value, 0.0), float(limit))


def area_share(detection: Detection, size: tuple[int, int]) -> float:
    """Return the share of a photo of size (H, W) that the box covers."""
    left, top, right, bottom = detection.box
    return max(right - left, 0.0) * max(bottom - top, 0.0) / (size[0] * size[1])


def nearness(detection: Detection, size: tuple[int, int]) -> float:
    """Return 1 for a box around the centre of a photo of size (H, W), falling to 0 for one at a corner."""
    left, top, right, bottom = detection.box
    height, width = size
    distance = math.hypot((left + right) / 2 - width / 2, (top + bottom) / 2 - height / 2)
    return 1 - distance / (math.hypot(height, width) / 2)


def choose(detections: Sequence[Detection], size: tuple[int, int], min_area: float, choice: ChoiceConfig) -> int | None:
    """Return the place of the best detection in a photo of size (H, W), or None if there is none.

    The best has the largest ``score + area_weight * sqrt(area) + position_weight * nearness``: photos of a class show
    one object of it, mostly large and in the middle, so that a bird on a far roof should not win over the one in
    front by a hair's breadth of score. Both weights 0 leave the score alone. The rule is ours; the study took the first
    box that its detector lists. Of equals the leftmost, then the topmost wins, so that the detector's order plays no
    part.

    Args:
        detections: boxes within the photo.
        min_area: boxes that cover a smaller share cannot hold a usable mask and are left out.
    """
    ranked = [
        (
            -(
                detection.score
                + choice.area_weight * math.sqrt(area_share(detection, size))
                + choice.position_weight * nearness(detection, size)
            ),
            detection.box,
            place,
        )
        for place, detection in enumerate(detections)
        if area_share(detection, size) > 0 and area_share(detection, size) >= min_area
    ]
    return min(ranked)[-1] if ranked else None
