"""The data set's own masks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from varireal.base.files import read_mask
from varireal.base.manifest import ImageRecord
from varireal.config import ComputeConfig, SegmentConfig
from varireal.segmentation.base import Segment


class DatasetSegmenter:
    """Takes the masks that `prepare` stored beside the photos."""

    def __init__(self, config: SegmentConfig, compute: ComputeConfig, domain_word: str = "") -> None:
        pass

    def identity(self) -> dict[str, Any]:
        """Return nothing beyond the source: the masks' hashes stand beside it in the key."""
        return {"source": "dataset"}

    def phrase(self, photo: ImageRecord) -> None:
        """Return None: words play no part."""

    def load(self) -> None:
        """Do nothing: there is no network."""

    def segment(self, photos: Sequence[ImageRecord]) -> list[Segment | None]:
        """Return the stored masks; None for a photo without one."""
        return [None if photo.mask_path is None else Segment(read_mask(Path(photo.mask_path))) for photo in photos]
