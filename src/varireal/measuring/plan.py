"""What is measured: the real photos, a sample of every cell's edits, and the keys that measurements are kept under."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from varireal import paths
from varireal.base.files import sha256_file
from varireal.base.manifest import ImageRecord, read_manifest, usable
from varireal.base.seeding import derive_seed
from varireal.config import ClipConfig, ComputeConfig, Params
from varireal.errors import UserError
from varireal.measuring.region import region_settings
from varireal.networks.clip import clip_identity
from varireal.store.folders import content_key

REVISION = 1  # raised when the meaning of the same inputs changes
# arrays of an item: unit features of the pictures and of their sentences, (N, D); per edit the columns of CHANGES
FEATURES, SENTENCES, CHANGED = "features.npy", "sentences.npy", "changed.npy"
CHANGES = ("changed_outside", "psnr_inside", "psnr_outside", "ssim_inside", "ssim_outside", "region_share")


@dataclasses.dataclass(frozen=True)
class Measure:
    """How pictures are looked at."""

    clip: ClipConfig
    compute: ComputeConfig
    batch_size: int

    @property
    def identity(self) -> dict[str, Any]:
        """Return what decides features besides pictures and sentences, as JSON values."""
        return {
            "revision": REVISION,
            "clip": clip_identity(self.clip.model, self.clip.pretrained),
            "dtype": self.compute.dtype,
            "batch_size": self.batch_size,
        }


@dataclasses.dataclass(frozen=True)
class Task:
    """Pictures that are measured together: photos, or one cell's edits."""

    key: str
    pictures: tuple[ImageRecord, ...]

    @property
    def edits(self) -> bool:
        """Return whether the pictures are edits, which are compared with their photos and sentences."""
        return self.pictures[0].origin == "edit"


def photos_task(measure: Measure, photos: Sequence[ImageRecord]) -> Task | None:
    """Return the task of taking the photos' features, or None where there is no photo."""
    if not photos:
        return None
    pictures = [[photo.image_id, photo.sha256] for photo in photos]
    return Task(content_key({**measure.identity, "pictures": pictures}), tuple(photos))


def edits_task(measure: Measure, edits: Sequence[ImageRecord]) -> Task | None:
    """Return the task of measuring edits against their photos, or None where there is no edit.

    Raises:
        UserError: the photo or the mask of an edit is missing.
    """
    if not edits:
        return None
    rows = []
    hash_of = functools.cache(sha256_file)  # photos and masks have several edits each
    for edit in edits:
        photo, mask = Path(str(edit.photo_path)), Path(str(edit.mask_path))
        for what, path in (("photo", photo), ("mask", mask)):
            if not path.is_file():
                raise UserError(
                    f"the {what} {path} of edit {edit.image_id} is missing; run `dvc checkout` or dvc repro"
                )
        hashes = [edit.sha256, hash_of(photo), hash_of(mask)]
        rows.append([edit.image_id, *hashes, edit.attribute, edit.prompt, *dataclasses.astuple(region_settings(edit))])
    key = content_key({**measure.identity, "edits": rows})
    return Task(key, tuple(edits))


def sample(edits: Sequence[ImageRecord], most: int | None, seed: int) -> list[ImageRecord]:
    """Return at most ``most`` edits, chosen by seed, in the order of their names; all where ``most`` is None."""
    ranked = sorted(edits, key=lambda edit: (derive_seed("measure", seed, edit.image_id), edit.image_id))
    return sorted(ranked[:most], key=lambda edit: edit.image_id)


def plan_measuring(
    params: Params,
) -> tuple[Measure, Task, Task | None, dict[tuple[str, str], Task | None], dict[tuple[str, str], int]]:
    """Return how and what is measured: photos of the splits train and val, and every cell's edits and their number.

    Raises:
        UserError: photos, edits or masks are missing.
    """
    how = Measure(params.measure.network(params.clip), params.compute, params.measure.batch_size)
    photos = read_manifest(paths.PHOTOS_MANIFEST)
    train, val = (photos_task(how, [photo for photo in photos if photo.split == split]) for split in ("train", "val"))
    if train is None:
        raise UserError("the data set has no photo in the split train; give it some (dataset.train_* in params.yaml)")
    cells: dict[tuple[str, str], Task | None] = {}
    counts = {}
    for attribute in params.grid.attributes:
        for feasibility in params.grid.feasibilities:
            rows = read_manifest(paths.edit_folder(attribute, feasibility) / "manifest.parquet")
            edits = usable(rows, params.mix.include_exhausted)
            chosen = sample(edits, params.measure.edits_per_cell, params.seed)
            counts[attribute, feasibility] = len(edits)
            cells[attribute, feasibility] = edits_task(how, chosen)
    return how, train, val, cells, counts
