"""A user's own photos: one folder a class, splits given by folders or drawn by hash, masks beside them if wanted."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from varireal.config import DatasetConfig
from varireal.datasets.base import PhotoFiles, Picture
from varireal.datasets.folder_scan import FoundPhoto, check_folder, find_photos, walk_pictures
from varireal.datasets.photo_files import load_photo_files
from varireal.datasets.slugs import unique_slugs
from varireal.errors import UserError
from varireal.io import sha256_file
from varireal.manifest import Split
from varireal.parallel import available_cores
from varireal.seeding import derive_seed

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FilePhoto:
    """A photo in a folder, with its split decided."""

    image_id: str
    split: Split
    class_index: int
    path: Path
    mask_path: Path | None
    min_side: int
    max_side: int | None

    @property
    def source(self) -> str:
        return str(self.path)

    def load(self) -> PhotoFiles:
        """Read, check and convert the photo and its mask."""
        return load_photo_files(self.path, self.mask_path, self.min_side, self.max_side)


class ImageFolder:
    """``root/<class>/...`` or ``root/<train|val|test>/<class>/...``; masks with the same relative names elsewhere.

    Without split folders, each class is shuffled by the hash of seed and file name, so that adding a photo moves
    hardly any other; a missing val folder is made up for by ``val_share`` of the training photos.
    """

    def __init__(self, config: DatasetConfig, seed: int) -> None:
        if config.root is None:  # the config's own check says so to a user
            raise ValueError("an image_folder needs dataset.root")
        self._config = config
        self._seed = seed
        self._root = check_folder("dataset.root", config.root)
        self._found = find_photos(self._root)
        self._masks = _find_masks(config.masks_root, self._found)
        self.classes: Sequence[str] = sorted({photo.class_name for photo in self._found})
        self.has_masks = config.masks_root is not None

    def photos(self) -> Sequence[FilePhoto]:
        """Return the photos of all splits.

        Raises:
            UserError: a class has no training photo, or one file stands in two splits or in two classes.
        """
        by_class: dict[str, list[FoundPhoto]] = {name: [] for name in self.classes}
        for photo in self._found:
            by_class[photo.class_name].append(photo)
        splits = {}
        for class_name, photos in by_class.items():
            splits |= self._splits(class_name, photos)
        _refuse_duplicates(self._found, splits)
        class_slugs = unique_slugs(self.classes)
        return [
            FilePhoto(
                f"{class_slugs[class_name]}/{name}",
                splits[photo],
                index,
                photo.path,
                self._masks.get(photo.relative.with_suffix("")),
                self._config.min_side,
                self._config.max_side,
            )
            for index, class_name in enumerate(self.classes)
            for photo, name in _named(by_class[class_name])
        ]

    def pictures(self) -> Sequence[Picture]:
        """Return nothing: ready-made pictures of a user's own stand in ``edit.prior.pictures``."""
        return []

    def _splits(self, class_name: str, photos: list[FoundPhoto]) -> dict[FoundPhoto, Split]:
        given: dict[FoundPhoto, Split] = {photo: photo.split for photo in photos if photo.split is not None}
        if not given:
            counts: list[tuple[Split, float]] = [("test", self._config.test_share), ("val", self._config.val_share)]
            given = self._drawn(class_name, photos, counts)
        elif not any(photo.split == "val" for photo in self._found):
            train = [photo for photo in photos if photo.split == "train"]
            given |= self._drawn(class_name, train, [("val", self._config.val_share)])
        if "train" not in given.values():
            raise UserError(
                f"the class {class_name!r} in {self._root} has no train photo ({len(photos)} photos in all); add "
                "photos, lower dataset.val_share and test_share, or remove the class"
            )
        return given

    def _drawn(
        self, class_name: str, photos: list[FoundPhoto], shares: list[tuple[Split, float]]
    ) -> dict[FoundPhoto, Split]:
        """Split one class: round half up, at least one photo where a share is above 0; the rest is for training."""
        waiting = sorted(
            photos, key=lambda photo: (derive_seed("image_folder", self._seed, class_name, photo.name), photo.name)
        )
        drawn: dict[FoundPhoto, Split] = {}
        for split, share in shares:
            count = max(1, math.floor(share * len(photos) + 0.5)) if share > 0 else 0
            drawn |= dict.fromkeys(waiting[:count], split)
            waiting = waiting[count:]
        return drawn | dict.fromkeys(waiting, "train")


def _named(photos: list[FoundPhoto]) -> list[tuple[FoundPhoto, str]]:
    """Return the photos of a class with names that are unique in it, sorted by them."""
    names = unique_slugs((photo.name for photo in photos), shown=lambda name: name.rpartition(".")[0])
    return sorted(((photo, names[photo.name]) for photo in photos), key=lambda pair: pair[1])


def _find_masks(masks_root: str | None, photos: list[FoundPhoto]) -> dict[Path, Path]:
    """Return mask files by relative name without suffix; empty when no folder of masks is given."""
    if masks_root is None:
        return {}
    root = check_folder("dataset.masks_root", masks_root)
    masks: dict[Path, Path] = {}
    for path in walk_pictures(root):
        key = path.relative_to(root).with_suffix("")
        if key in masks:
            raise UserError(f"the masks {masks[key]} and {path} belong to the same photo; remove one")
        masks[key] = path
    missing = [photo.relative for photo in photos if photo.relative.with_suffix("") not in masks]
    if len(missing) == len(photos):
        raise UserError(
            f"no photo has a mask in {root}: expected for example {root / missing[0].with_suffix('.png')}; "
            "correct dataset.masks_root, or leave it out and set segment.source: model"
        )
    if missing:
        logger.warning("%d of %d photos have no mask (the first: %s)", len(missing), len(photos), missing[0])
    return masks


def _refuse_duplicates(photos: list[FoundPhoto], splits: dict[FoundPhoto, Split]) -> None:
    """Refuse one file in two splits (it would leak) or in two classes (its label would contradict itself)."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(available_cores()) as pool:
        hashes = list(pool.map(_content_hash, [photo.path for photo in photos]))
    first: dict[str, FoundPhoto] = {}
    pairs = []
    for photo, digest in zip(photos, hashes):
        other = photo if digest is None else first.setdefault(digest, photo)
        if splits[photo] != splits[other] or photo.class_name != other.class_name:
            pairs.append((other, photo))
    if pairs:
        one, other = pairs[0]
        more = f" (and {len(pairs) - 1} more pairs)" if len(pairs) > 1 else ""
        raise UserError(
            "one photo stands twice in the data set, in different splits or classes: "
            f"{one.path} ({one.class_name}, {splits[one]}) is the same file as "
            f"{other.path} ({other.class_name}, {splits[other]}){more}; remove one of each"
        )


def _content_hash(path: Path) -> str | None:
    """Return the hash of a file's content, or None for a file that is empty or unreadable (loading it tells why)."""
    try:
        return sha256_file(path) if path.stat().st_size else None
    except OSError:
        return None
