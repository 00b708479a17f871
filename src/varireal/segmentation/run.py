"""All training photos: masks in batches, finished batches kept, every unusable mask marked."""

from __future__ import annotations

import dataclasses
import logging
import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from varireal.config import SegmentConfig
from varireal.errors import UserError
from varireal.io import encode_png, read_mask, sha256_file
from varireal.manifest import ImageRecord
from varireal.progress import progress
from varireal.segmentation.masks import iou, mask_problem
from varireal.work import WorkStore, content_key

if TYPE_CHECKING:
    import numpy as np

    from varireal.segmentation import Segmenter

logger = logging.getLogger(__name__)

NO_MASK = "no mask"


def segment_photos(
    segmenter: Segmenter,
    photos: Sequence[ImageRecord],
    config: SegmentConfig,
    store: WorkStore,
    folder: Path,
    recorded_as: Path,
) -> list[ImageRecord]:
    """Write ``masks/<image_id>.png`` below the folder and return the photos' records with mask, status and note.

    A batch is the unit that is kept and resumed: its last bits may depend on which photos share it.

    Args:
        recorded_as: the folder's later path, which the records hold.

    Raises:
        UserError: a photo or the checkpoint cannot be used, or not one mask is usable.
    """
    photos = sorted(photos, key=lambda photo: photo.image_id)
    identity = segmenter.identity()
    done: list[ImageRecord] = []
    with progress("Masks", len(photos)) as advance:
        for start in range(0, len(photos), config.batch_size):
            batch = photos[start : start + config.batch_size]
            kept = _finished_batch(segmenter, batch, identity, store)
            for number, photo in enumerate(batch):
                data = kept / f"{number}.png"
                done.append(_record(photo, data if data.is_file() else None, config, folder, recorded_as))
            advance(len(batch))
    if all(photo.status == "failed" for photo in done):
        raise UserError(
            f"not one of {len(done)} masks is usable (the first, of {done[0].path}: {done[0].note}); check "
            "segment.object_labels, segment.min_area and max_area, or the masks"
        )
    return done


def _finished_batch(
    segmenter: Segmenter, batch: Sequence[ImageRecord], identity: dict[str, Any], store: WorkStore
) -> Path:
    """Return the folder with the batch's masks by number, found or made; a photo without a mask has no file."""
    hashes = [[photo.sha256, sha256_file(Path(photo.mask_path)) if photo.mask_path else None] for photo in batch]
    key = content_key({"segmenter": identity, "photos": hashes})
    if kept := store.get(key):
        return kept
    masks = segmenter.segment(batch)
    return store.put(key, {f"{n}.png": _mask_bytes(mask) for n, mask in enumerate(masks) if mask is not None})


def _mask_bytes(mask: np.ndarray) -> bytes:
    return encode_png(mask.astype("uint8") * 255)


def _record(
    photo: ImageRecord, kept: Path | None, config: SegmentConfig, folder: Path, recorded_as: Path
) -> ImageRecord:
    """Copy one finished mask into the folder, check it, and return the photo's record."""
    if kept is None:
        return dataclasses.replace(photo, status="failed", note=NO_MASK, mask_path=None)
    relative = Path("masks", f"{photo.image_id}.png")
    (folder / relative).parent.mkdir(parents=True, exist_ok=True)
    (folder / relative).write_bytes(kept.read_bytes())
    mask = read_mask(kept)
    record = dataclasses.replace(photo, mask_path=(recorded_as / relative).as_posix())
    problem = mask_problem(mask, config.min_area, config.max_area)
    if problem is None:
        return record
    note = f"{problem}: {mask.mean():.2%} of the photo, allowed are {config.min_area:.2%} to {config.max_area:.2%}"
    logger.warning("the mask of %s is unusable (%s)", photo.path, note)
    return dataclasses.replace(record, status="failed", note=note)


def mask_metrics(done: Sequence[ImageRecord], truth: dict[str, str], folder: Path) -> dict[str, Any]:
    """Return counts of failures and, where true masks exist, the intersection over union.

    Args:
        done: the segmented photos.
        truth: true mask files by image_id; empty where none exist or they are the masks themselves.
        folder: where ``masks/`` lies now.
    """
    failed = [photo for photo in done if photo.status == "failed"]
    reasons = Counter((photo.note or "").partition(":")[0] for photo in failed)
    metrics: dict[str, Any] = {
        "photos": len(done),
        "failures": len(failed),
        "failure_share": len(failed) / len(done),
        "failures_by_reason": dict(reasons),
    }
    scores: dict[str, list[float]] = defaultdict(list)
    for photo in done:
        if photo.image_id in truth:
            mask = read_mask(folder / "masks" / f"{photo.image_id}.png")
            scores[photo.class_name].append(iou(mask, read_mask(Path(truth[photo.image_id]))))
    if scores:
        every = [score for of_class in scores.values() for score in of_class]
        metrics["mean_iou"] = round(statistics.fmean(every), 6)
        metrics["iou_per_class"] = {name: round(statistics.fmean(of_class), 6) for name, of_class in scores.items()}
    return metrics
