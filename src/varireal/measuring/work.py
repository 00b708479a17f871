"""Taking features of pictures and sentences, and comparing edits with their photos, one task after the other."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from varireal.base.files import read_image, read_mask
from varireal.base.manifest import ImageRecord
from varireal.compute.devices import resolve_device, resolve_dtype
from varireal.compute.processes import keep_freed_memory
from varireal.errors import UserError
from varireal.measuring.change import measure_change
from varireal.measuring.plan import CHANGED, CHANGES, FEATURES, SENTENCES, Measure, Task
from varireal.measuring.region import region_of
from varireal.networks.clip import Clip, load_clip
from varireal.store.folders import WorkStore

Item = TypeVar("Item")


def measure(
    how: Measure, tasks: Sequence[Task], store: WorkStore, num_threads: int | None, *, report: Callable[[int], None]
) -> None:
    """Load CLIP once, then do one task after the other and put each into the store.

    ``report`` is called with the number of pictures of every task done.

    Raises:
        UserError: CLIP, a picture or a mask cannot be loaded, or the store's disk is full.
    """
    keep_freed_memory()
    if num_threads is not None:
        torch.set_num_threads(num_threads)
    clip = load_clip(how.clip.model, how.clip.pretrained, resolve_device(how.compute), resolve_dtype(how.compute))
    for task in tasks:
        files = {FEATURES: picture_features(clip, task.pictures, how.batch_size)}
        if task.edits:
            files[SENTENCES] = sentence_features(clip, [str(edit.prompt) for edit in task.pictures], how.batch_size)
            files[CHANGED] = np.array([changes(edit) for edit in task.pictures])
        store.put(task.key, {name: _npy(values) for name, values in files.items()})
        report(len(task.pictures))


def picture_features(clip: Clip, pictures: Sequence[ImageRecord], batch_size: int) -> np.ndarray:
    """Return the unit features of pictures, float32 (N, D), batches cut from their order."""
    batches = _parts(pictures, batch_size)
    rows = [clip.encode_images([read_image(Path(each.path)) for each in batch]).cpu().numpy() for batch in batches]
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
    region = region_of(edit, mask)
    if region is None:
        return [np.nan] * len(CHANGES)
    found = {**dataclasses.asdict(measure_change(before, after, region)), "region_share": float(region.mean())}
    return [np.nan if found[name] is None else float(found[name]) for name in CHANGES]


def _parts(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _npy(values: np.ndarray) -> bytes:
    written = io.BytesIO()
    np.save(written, values, allow_pickle=False)
    return written.getvalue()
