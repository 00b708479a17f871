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

CellName = tuple[str, str]  # attribute, feasibility


@dataclasses.dataclass(frozen=True, order=True)
class RatedEdit:
    """An edit as a rating names it; the hash tells its picture from one that was made anew under the same name."""

    attribute: str
    feasibility: str
    image_id: str
    sha256: str


def read_edits(
    attributes: Sequence[str], feasibilities: Sequence[str], *, exhausted: bool
) -> dict[CellName, dict[RatedEdit, Path]]:
    """Read the edits of every cell, with the paths of their pictures.

    Args:
        attributes: the cells are these times ``feasibilities``.
        exhausted: also take edits that no attempt got past the filter.

    Raises:
        UserError: a manifest is missing or unreadable, or a path in it leads out of its cell's folder.
    """
    cells = {}
    for cell in itertools.product(attributes, feasibilities):
        folder = paths.edit_folder(*cell)
        records = usable(read_manifest(folder / "manifest.parquet"), include_exhausted=exhausted)
        cells[cell] = {
            RatedEdit(*cell, record.image_id, record.sha256): _safe_path(record, folder) for record in records
        }
    return cells


def _safe_path(record: ImageRecord, folder: Path) -> Path:
    """Check the spelling of a picture's path and return it; DVC may link the file to a cache elsewhere."""
    path = PurePosixPath(record.path)
    if ".." in path.parts or not path.is_relative_to(folder.as_posix()):
        raise UserError(
            f"{folder}/manifest.parquet: the path {record.path} of {record.image_id} leads out of {folder}; "
            "make the edits anew with dvc repro"
        )
    return Path(path)


def choose(cells: Mapping[CellName, Collection[RatedEdit]], count: int, seed: int) -> list[RatedEdit]:
    """Choose ``count`` edits, or all if there are fewer, in equal parts from the cells as far as these reach.

    The choice depends on seed and edits alone, so that all raters get the same; a larger count adds to a smaller one.
    """
    ranked = [
        sorted(edits, key=lambda edit: derive_seed("rate", "choose", seed, *dataclasses.astuple(edit)))
        for edits in cells.values()
    ]
    rounds = itertools.chain.from_iterable(itertools.zip_longest(*ranked))
    return list(itertools.islice((edit for edit in rounds if edit is not None), count))


def in_order_for(rater: str, edits: Sequence[RatedEdit], seed: int) -> list[RatedEdit]:
    """Sort edits into the rater's own random order, which stays the same when others are added."""
    return sorted(edits, key=lambda edit: derive_seed("rate", "order", seed, rater, *dataclasses.astuple(edit)))


def check_picture(edit: RatedEdit, path: Path) -> None:
    """Check that the picture is there and is the one that was chosen.

    Raises:
        UserError: it is missing, or not the one that the manifest names.
    """
    if not file_exists(path):
        raise UserError(f"the picture {path} is missing; get it with `dvc checkout` or make it anew with dvc repro")
    if sha256_file(path) != edit.sha256:
        raise UserError(f"the picture {path} is not the one its manifest names; get that with `dvc checkout`")


def picture_bytes(edit: RatedEdit, path: Path) -> bytes:
    """Return the picture as PNG, made anew from its pixels so that nothing else in its file is shown.

    Raises:
        UserError: the picture is missing, unreadable, or not the one that the manifest names.
    """
    check_picture(edit, path)
    return encode_png(read_image(path))
