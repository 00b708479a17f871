"""Pictures in tar shards: written one after the other, read where they lie, never unpacked.

A shard is a tar file of the WebDataset layout: files whose names agree up to the first dot are one sample. Beside it
lies an index, so that a file is found without reading the shard from its beginning. A path that leads into a shard,
such as ``data/edits/color/feasible/shards/000000.tar/jet/0-0.png``, stands wherever the path of a picture may.
"""

from __future__ import annotations

import functools
import io
import json
import os
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from varireal.errors import UserError

SUFFIX, INDEX_SUFFIX = ".tar", ".json"
REMEDY = "get it with `dvc checkout` or make it anew with dvc repro"
KEPT_INDICES = 256  # in memory
MOST_FILES = 2**14  # of a shard, whose index is in memory, also where the pictures are tiny

Place = tuple[int, int, int]  # of a file in a shard: where its bytes begin, how many, and their CRC-32


class ShardWriter:
    """Writes samples into ``000000.tar`` and so on, each beside its index; the same samples give the same bytes."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        """Take an empty folder, and the size at which a shard is full (one sample may be larger), if it does not hold
        `MOST_FILES` before."""
        self._folder, self._most = folder, most_bytes
        self._count = 0
        self._tar: tarfile.TarFile | None = None
        self._places: dict[str, Place] = {}

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def add(self, files: Mapping[str, bytes]) -> dict[str, str]:
        """Write the files of one sample into the same shard; return their paths within the folder, by name.

        Raises:
            ValueError: the shard has a file of that name already.
            OSError: the disk is full or not writable.
        """
        size = sum(tarfile.BLOCKSIZE + _padded(data) for data in files.values())
        if self._tar is not None and (
            self._tar.offset + size > self._most or len(self._places) + len(files) > MOST_FILES
        ):
            self._close()
        if self._tar is None:
            shard = self._folder / f"{self._count:06d}{SUFFIX}"
            shard.parent.mkdir(parents=True, exist_ok=True)
            self._tar = tarfile.open(shard, "w", format=tarfile.GNU_FORMAT)  # noqa: SIM115 - closed when it is full
            self._count += 1
        name_of_shard = f"{self._count - 1:06d}{SUFFIX}"
        for name, data in files.items():
            self._add(name, data)
        return {name: f"{name_of_shard}/{name}" for name in files}

    def _add(self, name: str, data: bytes) -> None:
        assert self._tar is not None
        if name in self._places:
            raise ValueError(f"two files of a shard are called {name!r}")
        entry = tarfile.TarInfo(name)  # says nothing of who wrote it when
        entry.size, entry.mode = len(data), 0o644
        self._tar.addfile(entry, io.BytesIO(data))
        self._places[name] = (self._tar.offset - _padded(data), len(data), zlib.crc32(data))

    def _close(self) -> None:
        if self._tar is None:
            return
        shard = Path(str(self._tar.name))
        self._tar.close()
        with shard.open("rb") as file:
            os.fsync(file.fileno())
        index = {"bytes": shard.stat().st_size, "files": self._places}
        shard.with_suffix(INDEX_SUFFIX).write_text(json.dumps(index, ensure_ascii=False) + "\n", encoding="utf-8")
        self._tar, self._places = None, {}


def _padded(data: bytes) -> int:
    return -(-len(data) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE


def sample_name(name: str) -> str:
    """Return a name for a sample of WebDataset, where the first dot of the last part ends a name."""
    folder, slash, last = name.rpartition("/")
    return f"{folder}{slash}{last.replace('%', '%25').replace('.', '%2E')}"


def open_file(path: Path) -> BinaryIO:
    """Open a file for reading, which may lie in a shard.

    Raises:
        OSError: as for any file.
        UserError: a shard is damaged, or is not the one its index describes.
    """
    try:
        return path.open("rb")
    except (NotADirectoryError, FileNotFoundError):
        shard = _shard_of(path)
        if shard is None:
            raise
        return io.BytesIO(_read(shard, path.relative_to(shard).as_posix()))


def file_exists(path: Path) -> bool:
    """Return whether a file is there, on its own or in a shard.

    Raises:
        UserError: a shard's index is missing or not its own.
    """
    if path.is_file():
        return True
    shard = _shard_of(path)
    return shard is not None and path.relative_to(shard).as_posix() in _index(shard)


def _shard_of(path: Path) -> Path | None:
    return next((parent for parent in path.parents if parent.suffix == SUFFIX and parent.is_file()), None)


def _read(shard: Path, name: str) -> bytes:
    place = _index(shard).get(name)
    if place is None:
        raise UserError(f"the shard {shard} holds no {name}; {REMEDY}")
    start, size, check = place
    with shard.open("rb") as file:
        file.seek(start)
        data = file.read(size)
    if zlib.crc32(data) != check:
        raise UserError(f"the shard {shard} is damaged: {name} is not what its index describes; {REMEDY}")
    return data


def _index(shard: Path) -> Mapping[str, Place]:
    about = shard.stat()
    return _read_index(shard, about.st_size, about.st_mtime_ns)


@functools.lru_cache(maxsize=KEPT_INDICES)
def _read_index(shard: Path, size: int, _: int) -> Mapping[str, Place]:
    """Return where a shard's files lie; the last argument tells it from one that took its place."""
    path = shard.with_suffix(INDEX_SUFFIX)
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
        files = {
            str(name): (int(start), int(length), int(check)) for name, (start, length, check) in index["files"].items()
        }
        expected = int(index["bytes"])
    except FileNotFoundError as error:
        raise UserError(f"the shard {shard} lacks its index {path.name}; {REMEDY}") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{path} is no index of a shard ({' '.join(str(error).split())[:200]}); {REMEDY}") from error
    if expected != size or any(start < 0 or length < 0 or start + length > size for start, length, _ in files.values()):
        raise UserError(
            f"the shard {shard} has {size} bytes, not the {expected} of its index: it is cut short or another; {REMEDY}"
        )
    return files
