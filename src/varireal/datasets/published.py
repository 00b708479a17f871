"""What the published data sets share: a listing is checked against the folder, and val is drawn from train."""

from __future__ import annotations

import abc
import dataclasses
import logging
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import ClassVar

from varireal.base.manifest import SPLITS, Split
from varireal.base.seeding import derive_seed
from varireal.base.text import text_problem
from varireal.config import DatasetConfig
from varireal.datasets.base import Picture, content_hashes, refuse_pairs, unique_slugs
from varireal.datasets.download import Archive
from varireal.datasets.folder_masks import find_masks
from varireal.datasets.folder_scan import MAX_CLASS_NAME
from varireal.datasets.photo_files import FilePhoto
from varireal.errors import UserError

logger = logging.getLogger(__name__)

SHOWN = 5  # classes or files named in one message


@dataclasses.dataclass(frozen=True, slots=True)
class Listed:
    """A photo as the annotations list it."""

    path: Path
    relative: Path  # to the folder of photos; a mask in dataset.masks_root has this name but for its suffix
    class_index: int
    split: Split  # as published
    group: str | None = None  # put before the name in the image_id
    mask_path: Path | None = None

    @property
    def name(self) -> str:
        return "/".join((self.group, *self.relative.parts) if self.group else self.relative.parts)


@dataclasses.dataclass(frozen=True)
class Listing:
    """All that the annotations say, and the folder that every file must lie in."""

    folder: Path
    classes: Sequence[str]  # in prompts' form
    photos: Sequence[Listed]


class PublishedDataset(abc.ABC):
    """A data set of others, as unpacked from its archives; a subclass reads the annotations.

    The published test split stays whole and is test. Where no val split is published, or ``val_split`` is "drawn", val
    is drawn by the seed from all others: ``val_per_class`` photos, or ``val_share``. Within a class the photos stand in
    an order of the seed's; val is taken from its front and train from its back, so that a smaller number always gives a
    part of a larger one's photos.
    """

    title: ClassVar[str]
    class_count: ClassVar[int]
    photo_counts: ClassVar[dict[Split, int]]  # in the published splits
    archives: ClassVar[tuple[Archive, ...]] = ()  # what dataset.download gets
    crop_bottom: ClassVar[int] = 0  # rows of pixels that are no part of the photo
    trimaps: ClassVar[bool] = False  # masks are trimaps: 1 object, 2 background, 3 border

    def __init__(self, config: DatasetConfig, seed: int) -> None:
        if config.root is None:  # the config's own check says so to a user
            raise ValueError(f"{config.name} needs dataset.root")
        self._config = config
        self._seed = seed
        listing = self.read(config.root)
        self._check_classes(listing)
        self._check_counts(listing)
        _check_files(listing, self.title)
        self._listed = _with_masks(listing.photos, config.masks_root)
        self.classes: Sequence[str] = tuple(listing.classes)
        self.has_masks = config.has_masks

    @abc.abstractmethod
    def read(self, root: str) -> Listing:
        """Read the annotations below dataset.root.

        Raises:
            UserError: they are missing, or wrong in themselves.
        """

    def photos(self) -> Sequence[FilePhoto]:
        """Return the photos of all splits, by class and name.

        Raises:
            UserError: a class is left without a training photo, or one file stands in two splits or classes.
        """
        kept = _without_copies(self._listed, self.classes, self._config.on_duplicate)
        splits = self._splits(kept)
        class_slugs = unique_slugs(self.classes)
        labels = None if self._config.mask_labels is None else tuple(self._config.mask_labels)
        photos = []
        for index, class_name in enumerate(self.classes):
            chosen = {photo.name: photo for photo in kept if photo.class_index == index and photo.name in splits}
            names = unique_slugs(chosen, shown=lambda name: name.rpartition(".")[0])
            photos += [
                FilePhoto(
                    f"{class_slugs[class_name]}/{names[name]}",
                    splits[name],
                    index,
                    photo.path,
                    photo.mask_path,
                    self._config.min_side,
                    self._config.max_side,
                    self.crop_bottom,
                    self.trimaps,
                    labels,
                )
                for name, photo in sorted(chosen.items(), key=lambda item: names[item[0]])
            ]
        return photos

    def pictures(self) -> Sequence[Picture]:
        """Return nothing: ready-made pictures stand in ``edit.prior.pictures``."""
        return []

    def _splits(self, photos: Sequence[Listed]) -> dict[str, Split]:
        """Return the split of every photo that is used, by its name."""
        by_class: dict[tuple[int, Split], list[str]] = defaultdict(list)
        for photo in photos:
            by_class[photo.class_index, photo.split].append(photo.name)
        val_published = "val" in self.photo_counts and self._config.val_split == "published"
        splits: dict[str, Split] = {photo.name: "test" for photo in photos if photo.split == "test"}
        few = []
        for index, class_name in enumerate(self.classes):
            given = by_class[index, "train"] + ([] if val_published else by_class[index, "val"])
            pool = self._in_order(class_name, given)
            if val_published:
                val, train = self._in_order(class_name, by_class[index, "val"])[: self._config.val_per_class], pool
            else:
                count = self._val_count(len(pool))
                val, train = pool[:count], pool[count:]
            if not train:
                raise UserError(
                    f"the class {class_name!r} has no train photo left: of {len(pool)} published ones {len(val)} are "
                    "for validation; lower dataset.val_per_class or val_share, or complete the data set"
                )
            if len(train) < (self._config.train_per_class or 0):
                few.append(f"{class_name} ({len(train)})")
            splits |= dict.fromkeys(val, "val")
            splits |= dict.fromkeys(train[::-1][: self._config.train_per_class], "train")
        if few:
            logger.warning(
                "%d classes have fewer train photos than dataset.train_per_class %s: %s",
                len(few), self._config.train_per_class, _some(few),
            )  # fmt: skip
        return splits

    def _val_count(self, available: int) -> int:
        """Return how many of a class's photos are for validation: the share is rounded half up, but never to none."""
        if self._config.val_per_class is not None:
            return self._config.val_per_class
        share = self._config.val_share
        return max(1, math.floor(share * available + 0.5)) if share > 0 else 0

    def _in_order(self, class_name: str, names: Iterable[str]) -> list[str]:
        key = (self._config.name, self._seed, class_name)
        return sorted(names, key=lambda name: (derive_seed(*key, name), name))

    def _check_classes(self, listing: Listing) -> None:
        for name in listing.classes:
            if problem := text_problem(name, MAX_CLASS_NAME):
                raise UserError(f"the class name {name!r} of {listing.folder} {problem}; get the annotations again")
        if twice := [name for name, uses in Counter(listing.classes).items() if uses > 1]:
            raise UserError(f"{listing.folder} has two classes of the name {twice[0]!r}; get the annotations again")
        with_train = {photo.class_index for photo in listing.photos if photo.split == "train"}
        for index, name in enumerate(listing.classes):
            if index not in with_train:
                raise UserError(
                    f"the class {name!r} has no train photo in the annotations of {listing.folder}; get them again"
                )

    def _check_counts(self, listing: Listing) -> None:
        """Compare with the published numbers, unless the data set is said to be a part."""
        if not self._config.complete:
            return
        listed = {split: sum(photo.split == split for photo in listing.photos) for split in self.photo_counts}
        numbers = [(len(listing.classes), self.class_count, "classes")]
        numbers += [(listed[split], count, f"{split} photos") for split, count in self.photo_counts.items()]
        if wrong := [f"{have} {what} instead of {want}" for have, want, what in numbers if have != want]:
            said = ", ".join(wrong)
            raise UserError(
                f"{listing.folder} is not the whole of {self.title}: it lists {said}; get it again, or set "
                "dataset.complete to false if you mean to use a part"
            )


def _check_files(listing: Listing, title: str) -> None:
    """Refuse files that are missing, listed twice, or reached through a link out of the data set's folder."""
    uses = Counter(photo.path for photo in listing.photos)
    if twice := [path for path, count in uses.items() if count > 1]:
        raise UserError(f"the annotations list {twice[0]} twice ({len(twice)} such files); correct them")
    inside = listing.folder.resolve()
    files = [file for photo in listing.photos for file in (photo.path, photo.mask_path) if file is not None]
    missing = [file for file in files if not file.is_file()]
    if missing:
        raise UserError(
            f"{len(missing)} of {len(files)} files that the annotations of {title} list are missing: "
            f"{_some(map(str, missing))}; unpack the archive again, or take their lines out of the annotations"
        )
    for file in files:
        if not (target := file.resolve()).is_relative_to(inside):
            raise UserError(f"{file} leads out of {listing.folder} (to {target}); copy the file in, or remove the link")


def _with_masks(photos: Sequence[Listed], masks_root: str | None) -> list[Listed]:
    """Add the masks of dataset.masks_root; those that the annotations give stay."""
    masks = find_masks(masks_root, [photo.relative for photo in photos])
    return [
        photo if photo.mask_path else dataclasses.replace(photo, mask_path=masks.get(photo.relative))
        for photo in photos
    ]


def _without_copies(photos: Sequence[Listed], classes: Sequence[str], on_duplicate: str) -> list[Listed]:
    """Return the photos without copies of the same file; the published test split is never touched.

    Of copies in one class the first is kept, of test, val and train in this order. Where copies contradict each
    other (two classes, none of them in test), none can be trusted and none is kept.

    Raises:
        UserError: copies stand in two splits or classes, and ``on_duplicate`` is "error".
    """
    by_content: dict[str, list[Listed]] = defaultdict(list)
    for photo, digest in zip(photos, content_hashes([photo.path for photo in photos])):
        if digest is not None:
            by_content[digest].append(photo)
    dropped: set[Path] = set()
    pairs = []
    for copies in by_content.values():
        copies = sorted(copies, key=lambda photo: (-SPLITS.index(photo.split), photo.name))
        places = {(photo.split, photo.class_index) for photo in copies}
        if len(places) > 1:
            other = next(p for p in copies if (p.split, p.class_index) != (copies[0].split, copies[0].class_index))
            pairs.append((_described(copies[0], classes), _described(other, classes)))
        if copies[0].split == "test":
            dropped |= {photo.path for photo in copies if photo.split != "test"}
        elif len({photo.class_index for photo in copies}) > 1:
            dropped |= {photo.path for photo in copies}
        else:
            dropped |= {photo.path for photo in copies[1:]}
    if on_duplicate == "error":
        refuse_pairs(pairs, "remove one of each, or set dataset.on_duplicate to drop, which never takes one from test")
    if dropped:
        shown = _some(sorted(map(str, dropped)))
        logger.warning("left out %d train or val photos that are copies of other photos: %s", len(dropped), shown)
    return [photo for photo in photos if photo.path not in dropped]


def _described(photo: Listed, classes: Sequence[str]) -> str:
    return f"{photo.path} ({classes[photo.class_index]}, {photo.split})"


def _some(names: Iterable[str]) -> str:
    every = list(names)
    return ", ".join(every[:SHOWN]) + (f" and {len(every) - SHOWN} more" if len(every) > SHOWN else "")
