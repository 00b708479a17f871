"""Object masks; `SEGMENTERS` maps `segment.source` of params.yaml to the class that finds them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from varireal.config import ComputeConfig, SegmentConfig
from varireal.manifest import ImageRecord
from varireal.segmentation.dataset import DatasetSegmenter
from varireal.segmentation.model import ModelSegmenter

if TYPE_CHECKING:
    import numpy as np


class Segmenter(Protocol):
    """Finds the object in photos."""

    def __init__(self, config: SegmentConfig, compute: ComputeConfig) -> None:
        """Check everything that needs no network and no photo.

        Raises:
            UserError: a checkpoint is missing.
        """

    def identity(self) -> dict[str, str | int | list[str]]:
        """Return all that decides over the masks beside the photos, for content keys."""

    def segment(self, photos: Sequence[ImageRecord]) -> list[np.ndarray | None]:
        """Return the mask of each photo, bool (H, W) of the photo's size, or None where there is none to be had.

        All photos of a call are one batch.

        Raises:
            UserError: the checkpoint or a photo cannot be used.
        """


SEGMENTERS: dict[str, type[Segmenter]] = {"model": ModelSegmenter, "dataset": DatasetSegmenter}
