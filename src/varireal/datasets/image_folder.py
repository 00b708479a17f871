"""A user's own photos: one folder a class, splits given by folders or drawn by hash, masks beside them if wanted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from varireal.base.file_kinds import shown
from varireal.base.manifest import Split
from varireal.base.picture_errors import named_picture_errors
from varireal.base.seeding import derive_seed
from varireal.config import DatasetConfig
from varireal.datasets.base import Picture, content_hashes, refuse_pairs, unique_slugs
from varireal.datasets.folder_masks import find_masks
from varireal.datasets.folder_scan import FoundPhoto, check_folder, find_photos
from varireal.datasets.photo_files import FilePhoto
from varireal.errors import UserError


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
        masks_root = None if config.masks_root is None else check_folder("dataset.masks_root", config.masks_root)
        self._photos = find_photos(self._root, masks_root)
        self._masks = find_masks(config.masks_root, [photo.relative for photo in self._photos])
        self.classes: Sequence[str] = sorted({photo.class_name for photo in self._photos})
        self.has_masks = config.masks_root is not None

    def photos(self) -> Sequence[FilePhoto]:
        """Return the photos of all splits.

        Raises:
            UserError: a class has no training photo, or one file stands in two splits or in two classes.
        """
        by_class: dict[str, list[FoundPhoto]] = {name: [] for name in self.classes}
        for photo in self._photos:
            by_class[photo.class_name].append(photo)
        splits = {}
        for class_name, photos in by_class.items():
            splits |= self._splits(class_name, photos)
        _refuse_duplicates(self._photos, splits)
        class_slugs = unique_slugs(self.classes)
        labels = None if self._config.mask_labels is None else tuple(self._config.mask_labels)
        return [
            FilePhoto(
                f"{class_slugs[class_name]}/{name}",
                splits[photo],
                index,
                photo.path,
                self._masks.get(photo.relative),
                self._config.min_side,
                self._config.max_side,
                mask_labels=labels,
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
        elif not any(photo.split == "val" for photo in self._photos):
            train = [photo for photo in photos if photo.split == "train"]
            given |= self._drawn(class_name, train, [("val", self._config.val_share)])
        if "train" not in given.values():
            drawn = any(photo.split in (None, "train") for photo in photos)
            shares = " lower dataset.val_share and test_share," if drawn else ""
            raise UserError(
                f"the class {class_name!r} in {self._root} has no train photo ({len(photos)} photos in all); add "
                f"photos,{shares} or remove the class"
            )
        if photos[0].split is not None and "test" not in given.values():
            raise UserError(
                f"the class {class_name!r} in {self._root} has no test photo, so nothing would show how well it is "
                "told from others; move some of its photos there, or remove the class"
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
        for photo in waiting:
            drawn[photo] = "train"
        return drawn


def _named(photos: list[FoundPhoto]) -> list[tuple[FoundPhoto, str]]:
    """Return the photos of a class with names that are unique in it, sorted by them."""
    names = unique_slugs((photo.name for photo in photos), shown=lambda name: name.rpartition(".")[0])
    return sorted(((photo, names[photo.name]) for photo in photos), key=lambda pair: pair[1])


def _is_picture(path: Path) -> bool:
    """Tell whether a file opens as a picture; what is wrong with one that does not is said when it is loaded."""
    from PIL import Image

    try:
        with named_picture_errors(shown(path)), Image.open(path):
            return True
    except UserError:
        return False


def _refuse_duplicates(photos: list[FoundPhoto], splits: dict[FoundPhoto, Split]) -> None:
    """Refuse one file in two splits or in two classes."""
    first: dict[str, FoundPhoto] = {}
    pairs = []
    for photo, digest in zip(photos, content_hashes([photo.path for photo in photos])):
        other = photo if digest is None else first.setdefault(digest, photo)
        apart = splits[photo] != splits[other] or photo.class_name != other.class_name
        if apart and _is_picture(photo.path):
            described = [f"{one.path} ({one.class_name}, {splits[one]})" for one in (other, photo)]
            pairs.append((described[0], described[1]))
    refuse_pairs(pairs, "remove one of each")
