"""The figures of a cell's edits and of the real photos, from what was measured picture by picture."""

from __future__ import annotations

import dataclasses
import io
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from varireal.measuring.features import clip_scores, cmmd, diversity
from varireal.measuring.plan import CHANGED, CHANGES, FEATURES, SENTENCES, MeasuringPlan, PictureGroup
from varireal.store import FolderStore

logger = logging.getLogger(__name__)

DECIMALS = 4


@dataclasses.dataclass(frozen=True)
class Photos:
    """Real photos and their unit features, float32 (N, D), in the order of ``names``."""

    names: tuple[str, ...]
    features: np.ndarray

    def of(self, wanted: Sequence[str]) -> np.ndarray:
        """Return the features of the photos that are named, in that order."""
        places = {name: place for place, name in enumerate(self.names)}
        return self.features[[places[name] for name in wanted]]


def read_photos(store: FolderStore, group: PictureGroup) -> Photos:
    """Return the photos of a group that is measured."""
    return Photos(tuple(photo.image_id for photo in group.pictures), _read(store, group)[FEATURES])


def photo_figures(train: Photos, val: Photos | None) -> dict[str, Any]:
    """Return the figures of real photos, beside which those of edits can be read.

    ``cmmd_of_val`` is the distance of two sets of real photos: less than that is no distance at all.
    """
    return {
        "photos": len(train.names),
        "val_photos": len(val.names) if val else 0,
        "cmmd_of_val": _rounded(cmmd(val.features, train.features)) if val else None,
        "diversity": _rounded(diversity(train.features)),
    }


def cell_figures(store: FolderStore, group: PictureGroup | None, usable: int, train: Photos) -> dict[str, Any]:
    """Return the figures of one cell's edits; those that nothing can be said about are None.

    * ``edits`` that training may use, ``measured`` of them (a sample where there are many).
    * ``changed_outside``: edits that differ from their photo in any pixel outside of the region they may change, and
      ``pixels_changed_outside`` of all of them; both are 0 where edits are exact.
    * ``region_share``: mean share of a photo that its edit may change. ``ssim_inside``, ``ssim_outside``: mean
      structural similarity; ``psnr_inside``: median peak signal-to-noise ratio in dB, None where nothing differs.
    * ``delta_e``: mean distance of colours where the edit belongs, ``untouched``: the share of that which nobody would
      notice to have changed, ``lost``: the share of what should stay that is noticeably changed.
    * ``clip_score`` of the edits with their own sentence, ``clip_score_of_photo`` of their photos with the same.
    * ``cmmd``: distance of the edits from the photos of train; ``diversity``: mean cosine distance of two edits.

    Args:
        group: what was measured, or None where no edit is usable.
        train: the photos that were edited.
    """
    names = ("changed_outside", "pixels_changed_outside", "region_share", "ssim_inside", "ssim_outside", "psnr_inside",
             "delta_e", "untouched", "lost", "clip_score", "clip_score_of_photo", "cmmd", "diversity")  # fmt: skip
    if group is None:
        return {"edits": usable, "measured": 0, **dict.fromkeys(names)}
    arrays = _read(store, group)
    changed = dict(zip(CHANGES, arrays[CHANGED].T))
    features, sentences = arrays[FEATURES], arrays[SENTENCES]
    leaks = changed["changed_outside"]
    known = not np.isnan(leaks).any()
    values = {
        "changed_outside": int((leaks > 0).sum()) if known else None,
        "pixels_changed_outside": int(leaks.sum()) if known else None,
        "region_share": _mean(changed["region_share"]),
        "ssim_inside": _mean(changed["ssim_inside"]),
        "ssim_outside": _mean(changed["ssim_outside"]),
        "psnr_inside": _median(changed["psnr_inside"]),
        **{name: _mean(changed[name]) for name in ("delta_e", "untouched", "lost")},
        "clip_score": _rounded(clip_scores(features, sentences).mean()),
        "clip_score_of_photo": _rounded(
            clip_scores(train.of([edit.photo_id for edit in group.pictures]), sentences).mean()
        ),
        "cmmd": _rounded(cmmd(features, train.features)),
        "diversity": _rounded(diversity(features)),
    }
    return {"edits": usable, "measured": len(group.pictures), **{name: values[name] for name in names}}


def measure_figures(plan: MeasuringPlan, store: FolderStore) -> dict[str, Any]:
    """Return the figures of the real photos and, by attribute and feasibility, of every cell's edits.

    Raises:
        UserError: what was measured has vanished from the store.
    """
    train = read_photos(store, plan.train)
    cells: dict[str, dict[str, Any]] = {}
    for (attribute, feasibility), group in plan.cells.items():
        figures = cell_figures(store, group, plan.usable[attribute, feasibility], train)
        cells.setdefault(attribute, {})[feasibility] = figures
        logger.info("%s %s: %s", attribute, feasibility, figures)
    return {"real": photo_figures(train, plan.val and read_photos(store, plan.val)), "cells": cells}


def _read(store: FolderStore, group: PictureGroup) -> dict[str, np.ndarray]:
    return {path.name: _load(path) for path in sorted(store.require(group.key).path.iterdir())}


def _load(path: Path) -> np.ndarray:
    return np.load(io.BytesIO(path.read_bytes()), allow_pickle=False)


def _mean(values: np.ndarray) -> float | None:
    there = values[~np.isnan(values)]
    return _rounded(there.mean()) if len(there) else None


def _median(values: np.ndarray) -> float | None:
    there = values[~np.isnan(values)]
    middle = np.median(there) if len(there) else np.inf
    return _rounded(middle) if np.isfinite(middle) else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), DECIMALS)
