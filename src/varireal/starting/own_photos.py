"""What a folder of photos holds: classes, splits, masks, sizes, and files that cannot be read."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

from varireal.base.file_kinds import shown
from varireal.base.manifest import SPLITS
from varireal.base.picture_errors import named_picture_errors
from varireal.compute.processes import available_cores
from varireal.config import DatasetConfig
from varireal.datasets.image_folder import ImageFolder
from varireal.errors import UserError

NAMED = 5  # classes or files in one line


@dataclasses.dataclass(frozen=True)
class OwnPhotos:
    """What was found."""

    root: Path
    masks_root: Path | None
    classes: Sequence[str]
    splits: dict[str, int]
    fewest: int  # photos for training that every class has
    with_masks: int
    without_masks: list[str]  # classes of which no photo for training has a mask, where masks are given
    sides: tuple[int, int, int]  # pixels: the smallest side, the middle one of the longer sides, the largest
    unreadable: list[str]  # what is wrong with photos that cannot be opened

    def lines(self) -> list[str]:
        """Return it in words, a line a subject."""
        photos = sum(self.splits.values())
        splits = ", ".join(f"{count} {split}" for split, count in self.splits.items())
        least, middle, most = self.sides
        each = f"{self.fewest} or more a class to train on"
        lines = [
            f"Photos   {self.root}: {len(self.classes)} classes, {photos} photos ({splits})",
            f"         sides of {least} to {most} pixels, {middle} in the middle; {each}",
        ]
        if self.unreadable:
            lines.append(
                f"         {len(self.unreadable)} cannot be read (the first: {self.unreadable[0]}); mend them, or set "
                "dataset.on_bad_image: skip"
            )
        if self.masks_root is None:
            return [*lines, "Masks    none"]
        lines.append(f"Masks    {self.masks_root}: {self.with_masks} of {photos} photos have one")
        if self.without_masks:
            named = ", ".join(self.without_masks[:NAMED])
            lines.append(
                f"         none to train on in {len(self.without_masks)} classes ({named}), which cannot be edited: "
                "give them masks, or move them out"
            )
        return lines


def look_at_photos(root: Path, masks_root: Path | None) -> OwnPhotos:
    """Look through a folder of photos as `prepare` will, without reading more than the head of each.

    Raises:
        UserError: it is no data set, or has one class only.
    """
    config = DatasetConfig(
        name="image_folder", domain_word="", root=str(root), masks_root=None if masks_root is None else str(masks_root)
    )
    dataset = ImageFolder(config, 0)
    photos = dataset.photos()
    if len(dataset.classes) < 2:
        raise UserError(f"{root} holds one class only, {dataset.classes[0]!r}; a classifier needs two at least")
    training = Counter(photo.class_index for photo in photos if photo.split == "train")
    masked = Counter(photo.class_index for photo in photos if photo.split == "train" and photo.mask_path)
    with ThreadPoolExecutor(available_cores()) as pool:
        heads = list(pool.map(_head, [photo.path for photo in photos]))
    sizes = [head for head in heads if not isinstance(head, str)]
    if not sizes:
        raise UserError(f"not one photo of {root} can be read ({heads[0]})")
    splits = Counter(photo.split for photo in photos)
    return OwnPhotos(
        root,
        masks_root,
        dataset.classes,
        {split: splits[split] for split in SPLITS},
        min(training.values()),
        sum(photo.mask_path is not None for photo in photos),
        [name for index, name in enumerate(dataset.classes) if masks_root is not None and not masked[index]],
        (min(map(min, sizes)), round(median(map(max, sizes))), max(map(max, sizes))),
        [head for head in heads if isinstance(head, str)],
    )


def _head(path: Path) -> tuple[int, int] | str:
    """Return the size that a picture's head says, or why it cannot be read."""
    from PIL import Image

    try:
        with named_picture_errors(shown(path)), Image.open(path) as picture:
            return picture.size
    except UserError as error:
        return str(error)
