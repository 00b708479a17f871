"""The one record that flows between stages: a row per image, kept as a sorted Parquet file."""

# pyarrow has no types
# pyright: reportMissingTypeStubs=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownParameterType=false, reportUnknownVariableType=false

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, get_args

from varireal.base.files import atomic_file
from varireal.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

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

    # unique within a manifest; photos: "<class slug>/<name>", edits: "<photo_id>#<attribute>-<feasibility>-<index>"
    image_id: str
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
    photo_path: str | None = None  # edits: the path of the photo that was edited
    mask_path: str | None = None
    prior_path: str | None = None
    attribute: Attribute | None = None
    feasibility: Feasibility | None = None
    value: str | None = None  # the attribute's short name, such as "lava"
    prompt: str | None = None
    index: int | None = None  # which edit of the photo in its cell, from 0
    seed: int | None = None  # of the accepted attempt
    attempts: str | None = None  # JSON list, one object an attempt: seed, scores, accepted, path of a kept rejected one
    settings: str | None = None  # JSON object: recipe settings, model ids and hashes, batch size
    key: str | None = None  # content key of the finished item


class Judged(Protocol):
    """An edit, or a part of its record, that the filter has judged."""

    @property
    def status(self) -> str: ...


AnyJudged = TypeVar("AnyJudged", bound=Judged)


def usable(records: Iterable[AnyJudged], include_exhausted: bool) -> list[AnyJudged]:
    """Return the edits that may be trained on: those the filter accepted and, if asked, those it never did."""
    allowed = {"accepted", "exhausted"} if include_exhausted else {"accepted"}
    return [record for record in records if record.status in allowed]


_FIELDS = [field.name for field in dataclasses.fields(ImageRecord)]
_INTEGERS = {"class_index", "width", "height", "index", "seed"}
# columns in which the same text stands in many rows, of which memory shall hold one
_REPEATED = {"origin", "split", "class_name", "status", "note", "attribute", "feasibility", "value", "prompt",
             "settings"}  # fmt: skip
ROWS = 2**12  # of a row group: what a stream of rows holds in memory


def schema() -> pa.Schema:
    """Return the columns of a manifest file."""
    import pyarrow as pa

    return pa.schema([(name, pa.int64() if name in _INTEGERS else pa.string()) for name in _FIELDS])


@contextlib.contextmanager
def manifest_writer(path: Path) -> Generator[Callable[[ImageRecord], None]]:
    """Yield a function that appends a row; the file appears whole when the block ends well, or not at all.

    The rows must come sorted by ``image_id``. The same rows give the same bytes, and few of them are in memory.

    Raises:
        ValueError: a row has the ``image_id`` of the one before, or one that sorts before it.
        UserError: the disk is full or not writable.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows: list[ImageRecord] = []
    last: str | None = None

    def write() -> None:
        parquet.write_table(pa.table({name: [getattr(row, name) for row in rows] for name in _FIELDS}, schema()))
        rows.clear()

    def add(record: ImageRecord) -> None:
        nonlocal last
        if last is not None and record.image_id <= last:
            if record.image_id == last:
                raise ValueError(f"two records of {path} share the image_id {last!r}")
            raise ValueError(f"{record.image_id!r} comes behind {last!r} in {path}")
        last = record.image_id
        rows.append(record)
        if len(rows) == ROWS:
            write()

    with atomic_file(path) as file, pq.ParquetWriter(file, schema(), compression="zstd") as parquet:
        yield add
        if rows or last is None:
            write()


def copy_rows(path: Path, sources: Sequence[Path], rows: Sequence[tuple[int, int]]) -> None:
    """Write rows of other manifests as a manifest; the bytes are those that their records would give.

    Args:
        rows: for each, the number of its source and its number in there, both from 0, in the order of their
            ``image_id``.

    Raises:
        UserError: a source cannot be read, or the disk is full or not writable.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    origin, number = np.array(rows, np.int64).reshape(-1, 2).T
    order = np.lexsort((number, origin))  # in which the sources give them, one after the other
    place = np.argsort(order)  # of each row among those
    bounds = np.searchsorted(origin[order], range(len(sources) + 1))
    parts = [
        part
        for source, first, last in zip(sources, bounds, bounds[1:])
        for part in _taken(source, number[order[first:last]])
    ]
    table = pa.Table.from_batches(parts) if parts else schema().empty_table()
    del parts
    table = table.unify_dictionaries().combine_chunks()
    with atomic_file(path) as file, pq.ParquetWriter(file, schema(), compression="zstd") as parquet:
        for start in range(0, max(1, len(rows)), ROWS):
            parquet.write_table(table.take(place[start : start + ROWS]).cast(schema()))


def _taken(path: Path, numbers: np.ndarray) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a manifest with these numbers, which are sorted."""
    start = 0
    for batch in manifest_batches(path, _FIELDS, shared=_REPEATED):
        first, last = numbers.searchsorted([start, start + batch.num_rows])
        yield batch.take(numbers[first:last] - start)
        start += batch.num_rows


def write_manifest(path: Path, records: Iterable[ImageRecord]) -> None:
    """Write the records atomically, sorted by ``image_id``: the same records give the same bytes.

    Raises:
        ValueError: two records share an ``image_id``.
        UserError: the disk is full or not writable.
    """
    with manifest_writer(path) as add:
        for record in sorted(records, key=lambda record: record.image_id):
            add(record)


def read_manifest(path: Path) -> list[ImageRecord]:
    """Read the records of a manifest, in their stored order.

    Raises:
        UserError: the file is missing, is no Parquet file, or lacks a column.
    """
    return list(iterate_manifest(path))


def iterate_manifest(path: Path) -> Iterator[ImageRecord]:
    """Yield the records of a manifest, in their stored order, with few of them in memory.

    Raises:
        UserError: as for :func:`read_manifest`.
    """
    for columns in manifest_columns(path, _FIELDS):
        yield from map(ImageRecord, *columns)


def manifest_columns(path: Path, columns: Sequence[str]) -> Iterator[list[list[Any]]]:
    """Yield some columns of a manifest, a few thousand values of each at a time, in their stored order.

    Raises:
        UserError: as for :func:`read_manifest`.
    """
    texts: dict[str, str] = {}
    shared = _REPEATED.intersection(columns)
    for batch in manifest_batches(path, columns, shared):
        yield [_texts(batch[name], texts) if name in shared else batch[name].to_pylist() for name in columns]


def _texts(column: pa.DictionaryArray, known: dict[str, str]) -> list[str | None]:
    """Return a column whose every distinct text is one object, also across the batches that ``known`` has seen."""
    words = [known.setdefault(word, word) for word in column.dictionary.to_pylist()]
    return [None if place is None else words[place] for place in column.indices.to_pylist()]


def manifest_batches(path: Path, columns: Sequence[str], shared: Iterable[str] = ()) -> Iterator[pa.RecordBatch]:
    """Yield some columns of a manifest, a few thousand rows at a time, in their stored order.

    Args:
        shared: columns of texts that come as dictionaries, each distinct text once.

    Raises:
        UserError: as for :func:`read_manifest`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise UserError(f"the manifest {path} is missing; run the stage that makes it (dvc repro)")
    try:
        with pq.ParquetFile(path, read_dictionary=sorted(shared)) as file:
            if missing := [name for name in columns if name not in file.schema_arrow.names]:
                raise KeyError(f"no column {missing[0]}")
            yield from file.iter_batches(ROWS, columns=list(columns))
    except (pa.ArrowException, OSError, KeyError, UnicodeDecodeError) as error:
        first_line = (str(error).splitlines() or ["unreadable"])[0]
        raise UserError(f"the manifest {path} cannot be read ({first_line}); make it anew with dvc repro") from error
