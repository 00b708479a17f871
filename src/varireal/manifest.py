"""The one record that flows between stages: a row per image, kept as a sorted Parquet file."""

from __future__ import annotations

import dataclasses
import io
import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, get_args

from varireal.errors import UserError
from varireal.io import atomic_write_bytes

Attribute = Literal["background", "color", "texture"]
Feasibility = Literal["feasible", "infeasible"]
Condition = Literal["feasible", "infeasible", "mixed"]
Source = Literal["synthetic", "real+synthetic"]
Split = Literal["train", "val", "test"]
Status = Literal["ok", "accepted", "exhausted", "failed"]

ATTRIBUTES: tuple[Attribute, ...] = get_args(Attribute)
FEASIBILITIES: tuple[Feasibility, ...] = get_args(Feasibility)
CONDITIONS: tuple[Condition, ...] = get_args(Condition)
SOURCES: tuple[Source, ...] = get_args(Source)
SPLITS: tuple[Split, ...] = get_args(Split)


@dataclasses.dataclass(frozen=True, slots=True)
class ImageRecord:
    """One image: a real photo or an edit of one.

    Paths are POSIX and relative to the folder the stages run in (the repository).
    ``None`` stands where a field does not apply.
    """

    image_id: str  # unique within a manifest; photos: "<class slug>/<name>", edits: "<photo_id>#<index>"
    path: str
    origin: Literal["photo", "edit"]
    split: Split
    class_name: str
    class_index: int
    width: int
    height: int
    sha256: str  # of the file's bytes
    photo_id: str  # the photo itself, or the photo that was edited
    status: Status = "ok"  # photos and masks: ok or failed; edits: accepted, exhausted or failed
    note: str | None = None  # why it failed, in words
    mask_path: str | None = None
    prior_path: str | None = None
    attribute: Attribute | None = None
    feasibility: Feasibility | None = None
    value: str | None = None  # the attribute's short name, such as "lava"
    prompt: str | None = None
    index: int | None = None  # which edit of the photo in its cell, from 0
    seed: int | None = None  # of the accepted attempt
    attempts: str | None = None  # JSON list, one object an attempt: seed, scores, accepted
    settings: str | None = None  # JSON object: recipe settings, model ids and hashes, batch size
    key: str | None = None  # content key of the finished item


_FIELDS = [field.name for field in dataclasses.fields(ImageRecord)]
_INTEGERS = {"class_index", "width", "height", "index", "seed"}


def write_manifest(path: Path, records: Iterable[ImageRecord]) -> None:
    """Write the records atomically, sorted by ``image_id``: the same records give the same bytes.

    Raises:
        ValueError: two records share an ``image_id``.
        UserError: the disk is full or not writable.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = sorted(records, key=lambda record: record.image_id)
    for first, second in itertools.pairwise(rows):
        if first.image_id == second.image_id:
            raise ValueError(f"two records of {path} share the image_id {first.image_id!r}")
    schema = pa.schema([(name, pa.int64() if name in _INTEGERS else pa.string()) for name in _FIELDS])
    table = pa.table({name: [getattr(row, name) for row in rows] for name in _FIELDS}, schema=schema)
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    atomic_write_bytes(path, buffer.getvalue())


def read_manifest(path: Path) -> list[ImageRecord]:
    """Read the records of a manifest, in their stored order.

    Raises:
        UserError: the file is missing, is no Parquet file, or lacks a column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise UserError(f"the manifest {path} is missing; run the stage that makes it (dvc repro)")
    try:
        columns = pq.read_table(path, columns=_FIELDS).to_pydict()
        return [ImageRecord(*values) for values in zip(*(columns[name] for name in _FIELDS))]
    except (pa.ArrowException, KeyError) as error:
        first_line = (str(error).splitlines() or ["unreadable"])[0]
        raise UserError(f"the manifest {path} cannot be read ({first_line}); make it anew with dvc repro") from error
