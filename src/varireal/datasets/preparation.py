"""From a data set to a folder of photos, masks and ready-made pictures, with a record for each photo."""

from __future__ import annotations

import functools
import logging
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from varireal.base.files import sha256_bytes
from varireal.base.manifest import SPLITS, ImageRecord
from varireal.compute.processes import map_in_order
from varireal.compute.progress import progress
from varireal.datasets.base import Dataset, Photo, Picture
from varireal.errors import UserError

logger = logging.getLogger(__name__)

SHOWN = 5  # unusable photos named in one message


@dataclass(frozen=True, slots=True)
class Prepared:
    """What was written, and which photos were left out with the reason, by source."""

    records: list[ImageRecord]
    skipped: dict[str, str]

    def counts(self, classes: list[str]) -> dict[str, dict[str, int]]:
        """Return the number of photos by split and class name."""
        photos = Counter((record.split, record.class_name) for record in self.records)
        return {split: {name: photos[split, name] for name in classes} for split in SPLITS}


def check_classes(dataset: Dataset) -> None:
    """Check that there is something to tell apart.

    Raises:
        UserError: there is one class only.
    """
    if len(dataset.classes) < 2:
        raise UserError(
            f"the data set has one class only, {dataset.classes[0]!r}; a classifier needs two at least: one folder a "
            "class right below dataset.root"
        )


def write_photos(
    dataset: Dataset, folder: Path, recorded_as: Path, on_bad_image: Literal["error", "skip"], workers: int
) -> Prepared:
    """Write ``photos/`` and ``masks/`` into the folder.

    Args:
        recorded_as: the folder's later path, which the records hold.
        on_bad_image: stop at photos that cannot be used, naming them, or leave them out.

    Raises:
        UserError: a photo cannot be used (``error``), or a class is left without a training photo (``skip``).
    """
    photos = dataset.photos()
    write = functools.partial(_write_photo, folder=folder, recorded_as=recorded_as, classes=tuple(dataset.classes))
    records, skipped, unsure, films = [], {}, [], []
    with progress("Photos", len(photos)) as advance:
        for photo, (result, certain, of_several) in zip(photos, map_in_order(write, photos, workers)):
            if not certain:
                unsure.append(photo.source)
            if of_several:
                films.append(photo.source)
            if isinstance(result, ImageRecord):
                records.append(result)
            else:
                skipped[photo.source] = result
            advance(1)
    if skipped and on_bad_image == "error":
        raise UserError(_name_some(skipped))
    if unsure:
        logger.warning(
            "%d photos are turned by their EXIF orientation, and their masks' sizes fit them as stored and upright; "
            "masks are taken as drawn on the upright photos: look at %s first, and turn the masks if they lie beside",
            len(unsure), unsure[0],
        )  # fmt: skip
    if films:
        logger.warning(
            "%d files hold several pages or frames, of which the first is taken (the first file: %s); save others as "
            "files of their own", len(films), films[0],
        )  # fmt: skip
    prepared = Prepared(records, skipped)
    for reason in skipped.values():
        logger.warning("left out: %s", reason)
    for name, count in prepared.counts(list(dataset.classes))["train"].items():
        if count == 0:
            raise UserError(
                f"the class {name!r} has no train photo left, after {len(skipped)} photos were left out "
                f"({_name_some(skipped)}); mend the photos, or remove the class"
            )
    return prepared


def write_pictures(dataset: Dataset, folder: Path, workers: int) -> int:
    """Write the ready-made pictures as ``pictures/<attribute>/<name>/<index>.png`` and return their number."""
    pictures = dataset.pictures()
    with progress("Places and materials", len(pictures)) as advance:
        for _ in map_in_order(functools.partial(_write_picture, folder=folder), pictures, workers):
            advance(1)
    return len(pictures)


def _name_some(skipped: dict[str, str]) -> str:
    reasons = list(skipped.values())
    more = f"; and {len(reasons) - SHOWN} more" if len(reasons) > SHOWN else ""
    return "; ".join(reasons[:SHOWN]) + more


def write_photo(photo: Photo, folder: Path, recorded_as: Path, classes: tuple[str, ...]) -> ImageRecord | str:
    """Write one photo and return its record, or why it cannot be used."""
    return _write_photo(photo, folder, recorded_as, classes)[0]


def _write_photo(
    photo: Photo, folder: Path, recorded_as: Path, classes: tuple[str, ...]
) -> tuple[ImageRecord | str, bool, bool]:
    """Write one photo.

    Returns:
        Its record or why it cannot be used, whether its mask certainly lies on it, and whether its file holds several.
    """
    try:
        files = photo.load()
    except UserError as error:
        return str(error), True, False
    path, mask_path = Path("photos", photo.image_id + files.suffix), Path("masks", photo.image_id + ".png")
    _write(folder / path, files.data)
    if files.mask is not None:
        _write(folder / mask_path, files.mask)
    record = ImageRecord(
        image_id=photo.image_id,
        path=(recorded_as / path).as_posix(),
        origin="photo",
        split=photo.split,
        class_name=classes[photo.class_index],
        class_index=photo.class_index,
        width=files.width,
        height=files.height,
        sha256=sha256_bytes(files.data),
        photo_id=photo.image_id,
        mask_path=None if files.mask is None else (recorded_as / mask_path).as_posix(),
    )
    return record, not files.mask_turn_unknown, files.of_several


def _write_picture(picture: Picture, folder: Path) -> None:
    _write(folder / "pictures" / picture.attribute / picture.name / f"{picture.index:03d}.png", picture.load())


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
