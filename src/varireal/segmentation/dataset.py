"""The data set's own masks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from varireal.config import ComputeConfig, SegmentConfig
from varireal.io import read_mask
from varireal.manifest import ImageRecord

if TYPE_CHECKING:
    import numpy as np


class DatasetSegmenter:
    """Takes the masks that `prepare` stored beside the photos."""

    def __init__(self, config: SegmentConfig, compute: ComputeConfig) -> None:
        pass

    def identity(self) -> dict[str, str | int | list[str]]:
        """Return nothing beyond the source: the masks' hashes stand beside it in the key."""
        return {"source": "dataset"}

    def segment(self, photos: Sequence[ImageRecord]) -> list[np.ndarray | None]:
        """Return the stored masks; None for a photo without one."""
        return [None if photo.mask_path is None else read_mask(Path(photo.mask_path)) for photo in photos]
