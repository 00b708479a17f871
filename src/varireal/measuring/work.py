"""What measures: features of pictures and sentences, and edits compared with their photos, a group at a time."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from varireal.base.files import read_image, read_mask
from varireal.base.manifest import ImageRecord
from varireal.compute.devices import resolve_device, resolve_dtype
from varireal.compute.progress import report_units
from varireal.errors import UserError
from varireal.measuring.change import kept_share, measure_change, region_of
from varireal.measuring.plan import CHANGED, CHANGES, FEATURES, SENTENCES, FeatureSettings, PictureGroup
from varireal.measuring.strength import measure_strength
from varireal.networks.clip import Clip, load_clip

Item = TypeVar("Item")


NETWORK_MODULES = ("open_clip",)  # what workers import before their first group


class MeasuringWorker:
    """Holds CLIP, which it loads at its first group."""

    def __init__(self, how: FeatureSettings) -> None:
        self._how = how
        self._clip: Clip | None = None

    def __call__(self, items: Sequence[PictureGroup]) -> list[dict[str, bytes]]:
        """Return the arrays of each group as files.

        Raises:
            UserError: CLIP, a picture or a mask cannot be loaded.
        """
        how = self._how
        if self._clip is None:
            device, dtype = resolve_device(how.compute), resolve_dtype(how.compute)
            self._clip = load_clip(how.clip.model, how.clip.pretrained, device, dtype)
        return [self._measure(group, self._clip) for group in items]

    def _measure(self, group: PictureGroup, clip: Clip) -> dict[str, bytes]:
        size = self._how.batch_size
        files = {FEATURES: picture_features(clip, group.pictures, size)}
        if group.edits:
            files[SENTENCES] = sentence_features(clip, [str(edit.prompt) for edit in group.pictures], size)
            files[CHANGED] = np.array([changes(edit) for edit in group.pictures])
        return {name: _npy(values) for name, values in files.items()}


def picture_features(clip: Clip, pictures: Sequence[ImageRecord], batch_size: int) -> np.ndarray:
    """Return the unit features of pictures, float32 (N, D), batches cut from their order."""
    rows: list[np.ndarray] = []
    for batch in _parts(pictures, batch_size):
        rows.append(clip.encode_images([read_image(Path(each.path)) for each in batch]).cpu().numpy())
        report_units(sum(map(len, rows)))  # by far the longest part of a group on a CPU
    return np.concatenate(rows)


def sentence_features(clip: Clip, sentences: Sequence[str], batch_size: int) -> np.ndarray:
    """Return the unit features of sentences, float32 (N, D); equal sentences are encoded once."""
    distinct = sorted(set(sentences))
    rows = np.concatenate([clip.encode_texts(part).cpu().numpy() for part in _parts(distinct, batch_size)])
    places = {sentence: place for place, sentence in enumerate(distinct)}
    return rows[[places[sentence] for sentence in sentences]]


def changes(edit: ImageRecord) -> list[float]:
    """Return the columns CHANGES of an edit; NaN where there is nothing to measure.

    Raises:
        UserError: a picture or the mask cannot be read, or their sizes differ.
    """
    before, after = read_image(Path(str(edit.photo_path))), read_image(Path(edit.path))
    mask = read_mask(Path(str(edit.mask_path)))
    if before.shape != after.shape or mask.shape != before.shape[:2]:
        raise UserError(
            f"the edit {edit.path}, its photo {edit.photo_path} and the mask {edit.mask_path} differ in size; "
            "make the edits anew with dvc repro"
        )
    strength = measure_strength(str(edit.attribute), before, after, mask, kept_share(edit, before, mask))
    values: dict[str, float | None] = {name: getattr(strength, name) for name in ("delta_e", "untouched", "lost")}
    if (region := region_of(edit, mask)) is not None:
        values |= {**dataclasses.asdict(measure_change(before, after, region)), "region_share": float(region.mean())}
    return [np.nan if (value := values.get(name)) is None else float(value) for name in CHANGES]


def _parts(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _npy(values: np.ndarray) -> bytes:
    written = io.BytesIO()
    np.save(written, values, allow_pickle=False)
    return written.getvalue()
