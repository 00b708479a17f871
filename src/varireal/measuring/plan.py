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
from varireal.measuring.change import region_settings
from varireal.networks.clip import clip_identity
from varireal.store import content_key

REVISION = 3  # raised when the meaning of the same inputs changes
# arrays of an item: unit features of the pictures and of their sentences, (N, D); per edit the columns of CHANGES
FEATURES, SENTENCES, CHANGED = "features.npy", "sentences.npy", "changed.npy"
CHANGES = ("changed_outside", "psnr_inside", "psnr_outside", "ssim_inside", "ssim_outside", "region_share",
           "delta_e", "untouched", "lost")  # fmt: skip


@dataclasses.dataclass(frozen=True)
class FeatureSettings:
    """How features are taken."""

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
class PictureGroup:
    """Pictures that are measured together: photos, or one cell's edits."""

    key: str
    pictures: tuple[ImageRecord, ...]

    @property
    def edits(self) -> bool:
        """Return whether the pictures are edits, which are compared with their photos and sentences."""
        return self.pictures[0].origin == "edit"

    @property
    def name(self) -> str:
        """Return its name in a message."""
        return f"measuring {self.pictures[0].image_id} and others"

    @property
    def units(self) -> int:
        """Return how many pictures it has."""
        return len(self.pictures)


def group_photos(how: FeatureSettings, photos: Sequence[ImageRecord]) -> PictureGroup | None:
    """Return the photos as a group, or None where there is no photo."""
    if not photos:
        return None
    pictures = [[photo.image_id, photo.sha256] for photo in photos]
    return PictureGroup(content_key({**how.identity, "pictures": pictures}), tuple(photos))


def group_edits(how: FeatureSettings, edits: Sequence[ImageRecord]) -> PictureGroup | None:
    """Return the edits as a group that is compared with their photos, or None where there is no edit.

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
    return PictureGroup(content_key({**how.identity, "edits": rows}), tuple(edits))


def sample(edits: Sequence[ImageRecord], most: int | None, seed: int) -> list[ImageRecord]:
    """Return at most ``most`` edits, chosen by seed, in the order of their names; all where ``most`` is None."""
    ranked = sorted(edits, key=lambda edit: (derive_seed("measure", seed, edit.image_id), edit.image_id))
    return sorted(ranked[:most], key=lambda edit: edit.image_id)


@dataclasses.dataclass(frozen=True)
class MeasuringPlan:
    """How and what the stage measures."""

    how: FeatureSettings
    train: PictureGroup
    val: PictureGroup | None  # None: the split is empty
    cells: dict[tuple[str, str], PictureGroup | None]  # by attribute and feasibility; None: no edit is usable
    usable: dict[tuple[str, str], int]  # edits, of which a sample may be measured

    @property
    def groups(self) -> list[PictureGroup]:
        """Return all groups, the largest first, so that workers end at about the same time."""
        groups = [group for group in (self.train, self.val, *self.cells.values()) if group is not None]
        return sorted(groups, key=lambda group: -group.units)


def plan_measuring(params: Params) -> MeasuringPlan:
    """Plan the photos of the splits train and val, and every cell's edits.

    Raises:
        UserError: photos, edits or masks are missing.
    """
    how = FeatureSettings(params.measure.network(params.clip), params.compute, params.measure.batch_size)
    photos = read_manifest(paths.PHOTOS_MANIFEST)
    train, val = (group_photos(how, [photo for photo in photos if photo.split == split]) for split in ("train", "val"))
    if train is None:
        raise UserError("the data set has no photo in the split train; give it some (dataset.train_* in params.yaml)")
    cells: dict[tuple[str, str], PictureGroup | None] = {}
    counts: dict[tuple[str, str], int] = {}
    for attribute in params.grid.attributes:
        for feasibility in params.grid.feasibilities:
            rows = read_manifest(paths.edit_folder(attribute, feasibility) / "manifest.parquet")
            edits = usable(rows, params.mix.include_exhausted)
            chosen = sample(edits, params.measure.edits_per_cell, params.seed)
            counts[attribute, feasibility] = len(edits)
            cells[attribute, feasibility] = group_edits(how, chosen)
    return MeasuringPlan(how, train, val, cells, counts)
