"""Which edits a person rates, and in which order."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path, PurePosixPath

from varireal import paths
from varireal.base.files import encode_png, read_image, sha256_file
from varireal.base.manifest import ImageRecord, read_manifest, usable
from varireal.base.seeding import derive_seed
from varireal.base.shards import file_exists
from varireal.errors import UserError

Cell = tuple[str, str]  # attribute, feasibility


@dataclasses.dataclass(frozen=True, order=True)
class Item:
    """One edit as a rating names it. The hash tells a picture from one that was made anew under the same name."""

    attribute: str
    feasibility: str
    image_id: str
    sha256: str


def read_edits(
    attributes: Sequence[str], feasibilities: Sequence[str], *, exhausted: bool
) -> dict[Cell, dict[Item, Path]]:
    """Return the edits of every cell with their pictures: those the filter accepted, and where asked for all others.

    Raises:
        UserError: a manifest is missing or unreadable, or a path in it leads out of its cell's folder.
    """
    cells = {}
    for cell in itertools.product(attributes, feasibilities):
        folder = paths.edit_folder(*cell)
        records = usable(read_manifest(folder / "manifest.parquet"), include_exhausted=exhausted)
        cells[cell] = {Item(*cell, each.image_id, each.sha256): _safe_path(each, folder) for each in records}
    return cells


def _safe_path(record: ImageRecord, folder: Path) -> Path:
    """Return a picture's path; only its spelling is checked, for DVC may link files to a cache elsewhere."""
    path = PurePosixPath(record.path)
    if ".." in path.parts or not path.is_relative_to(folder.as_posix()):
        raise UserError(
            f"{folder}/manifest.parquet: the path {record.path} of {record.image_id} leads out of {folder}; "
            "make the edits anew with dvc repro"
        )
    return Path(path)


def choose(cells: Mapping[Cell, Collection[Item]], count: int, seed: int) -> list[Item]:
    """Return ``count`` edits, or all if there are fewer, in equal parts from the cells as far as these reach.

    The choice depends on seed and edits alone, so that all raters get the same; a larger count adds to a smaller one.
    """
    ranked = [
        sorted(items, key=lambda item: derive_seed("rate", "choose", seed, *dataclasses.astuple(item)))
        for items in cells.values()
    ]
    rounds = itertools.chain.from_iterable(itertools.zip_longest(*ranked))
    return list(itertools.islice((item for item in rounds if item is not None), count))


def in_order_for(rater: str, items: Sequence[Item], seed: int) -> list[Item]:
    """Return the edits in the rater's own random order; it stays the same when others are added."""
    return sorted(items, key=lambda item: derive_seed("rate", "order", seed, rater, *dataclasses.astuple(item)))


def check_picture(item: Item, path: Path) -> None:
    """Check that the picture is there and is the one that was chosen.

    Raises:
        UserError: it is missing, or not the one that the manifest names.
    """
    if not file_exists(path):
        raise UserError(f"the picture {path} is missing; get it with `dvc checkout` or make it anew with dvc repro")
    if sha256_file(path) != item.sha256:
        raise UserError(f"the picture {path} is not the one its manifest names; get that with `dvc checkout`")


def picture_bytes(item: Item, path: Path) -> bytes:
    """Return the picture as PNG, made anew from its pixels so that nothing a file may carry beside them is shown.

    Raises:
        UserError: the picture is missing, unreadable, or not the one that the manifest names.
    """
    check_picture(item, path)
    return encode_png(read_image(path))
