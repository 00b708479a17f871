"""Object masks; `SEGMENTERS` maps `segment.source` and `segment.fallback` of params.yaml to the classes behind them."""

from __future__ import annotations

from varireal.segmentation.base import Segment, Segmenter
from varireal.segmentation.clipseg import ClipsegSegmenter
from varireal.segmentation.dataset import DatasetSegmenter
from varireal.segmentation.grounded_sam2 import GroundedSam2Segmenter
from varireal.segmentation.model import ModelSegmenter
from varireal.segmentation.sam3 import Sam3Segmenter

__all__ = ["SEGMENTERS", "Segment", "Segmenter"]

SEGMENTERS: dict[str, type[Segmenter]] = {
    "model": ModelSegmenter,
    "dataset": DatasetSegmenter,
    "grounded_sam2": GroundedSam2Segmenter,
    "sam3": Sam3Segmenter,
    "clipseg": ClipsegSegmenter,
}
