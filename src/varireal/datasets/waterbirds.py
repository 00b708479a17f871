"""Waterbirds: birds of CUB-200-2011 pasted onto places of land or water, with published splits."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from varireal.base.manifest import SPLITS, Split
from varireal.datasets.published import Listed, Listing, PublishedDataset
from varireal.datasets.published_files import locate, member, number, read_text
from varireal.errors import UserError

COLUMNS = ("img_filename", "y", "split", "place")
PLACES = ("land", "water")
GET = (
    "waterbird_complete95_forest2water2.tar.gz from "
    "https://nlp.stanford.edu/data/dro/waterbird_complete95_forest2water2.tar.gz (or WILDS' waterbirds_v1.0)"
)


class Waterbirds(PublishedDataset):
    """``metadata.csv`` beside CUB's folders of photos; its y is the class, its split 0 train, 1 val and 2 test.

    The place (land or water), on which the bird's class was made to depend, stands first in each photo's name in its
    image_id, such as ``landbird/water-001-...``, so that groups can be told apart. Masks may be CUB's segmentations:
    set dataset.masks_root to the folder that holds ``001.Black_footed_Albatross/`` and the others.
    """

    title = "Waterbirds"
    class_count = 2
    photo_counts: ClassVar[dict[Split, int]] = {"train": 4795, "val": 1199, "test": 5794}

    def read(self, root: str) -> Listing:
        """Read metadata.csv."""
        below = ["waterbird_complete95_forest2water2", "waterbirds_v1.0"]
        folder = locate(root, below, ["metadata.csv"], self.title, GET)
        photos = []
        for where, row in _rows(folder / "metadata.csv"):
            relative = member(row["img_filename"], where)
            photos.append(
                Listed(
                    folder / relative,
                    relative,
                    number(row["y"], range(2), "y", where),
                    SPLITS[number(row["split"], range(3), "split", where)],
                    PLACES[number(row["place"], range(2), "place", where)],
                )
            )
        return Listing(folder, ("landbird", "waterbird"), photos)


def _rows(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the rows of the table with where they stand.

    Raises:
        UserError: a column is missing, or a row has too few or too many fields.
    """
    reader = csv.DictReader(io.StringIO(read_text(path), newline=""), strict=True)
    columns = reader.fieldnames or []
    if missing := [name for name in COLUMNS if name not in columns]:
        raise UserError(
            f"{path} has no column {', '.join(missing)} (found: {', '.join(columns)[:200] or 'nothing'}); "
            f"needed are {', '.join(COLUMNS)}: get it again"
        )
    try:
        for row in reader:
            where = f"{path}, line {reader.line_num}"
            if None in row or None in row.values():
                raise UserError(f"{where}: the row has not the {len(columns)} fields that the first line names")
            yield where, row
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: no valid CSV ({error}); get the file again") from error
