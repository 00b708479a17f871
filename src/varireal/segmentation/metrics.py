"""Figures about the masks: failures, how often the fallback helped out, agreement with the truth."""

from __future__ import annotations

import json
import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from varireal.base.files import read_mask
from varireal.base.manifest import ImageRecord
from varireal.config import SegmentConfig
from varireal.segmentation.masks import iou

DECIMALS = 6


def mask_metrics(
    records: Sequence[ImageRecord], truth: dict[str, str], config: SegmentConfig, folder: Path
) -> dict[str, Any]:
    """Return counts of failures and, where true masks exist, the intersection over union.

    A photo without a mask counts as one with an empty mask. ``fallback_share`` is the share of photos whose mask the
    fallback made; ``sources`` then has the figures of both sources apart.

    Args:
        records: the segmented photos.
        truth: true mask files by image_id; not used for masks that are the data set's own.
        folder: where ``masks/`` lies now.
    """
    sources = [_source(photo, config) for photo in records]
    scores: dict[str, float] = {
        photo.image_id: _iou(photo, Path(truth[photo.image_id]), folder)
        for photo, source in zip(records, sources)
        if photo.image_id in truth and source != "dataset"
    }
    metrics = _figures(records, scores)
    reasons = Counter((photo.note or "").partition(":")[0] for photo in records if photo.status == "failed")
    metrics["failures_by_reason"] = dict(reasons)
    metrics["fallbacks"] = sum(source != config.source for source in sources)
    metrics["fallback_share"] = metrics["fallbacks"] / len(records)
    if scores:
        by_class = defaultdict(list)
        for photo in records:
            if photo.image_id in scores:
                by_class[photo.class_name].append(scores[photo.image_id])
        metrics["iou_per_class"] = {name: _mean(of_class) for name, of_class in by_class.items()}
    if config.fallback is not None:
        metrics["sources"] = {
            name: _figures([photo for photo, source in zip(records, sources) if source == name], scores)
            for name in sorted(set(sources))
        }
    return metrics


def _figures(photos: Sequence[ImageRecord], scores: dict[str, float]) -> dict[str, Any]:
    failures = sum(photo.status == "failed" for photo in photos)
    figures = {"photos": len(photos), "failures": failures, "failure_share": failures / len(photos)}
    if own := [scores[photo.image_id] for photo in photos if photo.image_id in scores]:
        figures["mean_iou"] = _mean(own)
    return figures


def _source(photo: ImageRecord, config: SegmentConfig) -> str:
    """Return which source made a photo's mask; the first one where none did."""
    return str(json.loads(photo.settings or "{}").get("source", config.source))


def _iou(photo: ImageRecord, truth: Path, folder: Path) -> float:
    true_mask = read_mask(truth)
    if photo.mask_path is None:
        return iou(true_mask & False, true_mask)
    return iou(read_mask(folder / "masks" / f"{photo.image_id}.png"), true_mask)


def _mean(values: Sequence[float]) -> float:
    return round(statistics.fmean(values), DECIMALS)
