"""The store of items too many for a folder and an fsync each: those that are made together share a file.

A batch is a file ``<root>/<stage>/<k[:2]>/<k>.safetensors`` that appears whole or not at all; k hashes the keys of its
items. Its tensors are the files of the items as bytes, named ``<key of the item>/<name of the file>``. So items that
were kept together are found together without a search, and any other item through an index of all batches.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from varireal.base.files import atomic_write_bytes, sha256_bytes
from varireal.store.base import Kept, Store

if TYPE_CHECKING:
    import numpy as np

logger = logging.getLogger(__name__)

SUFFIX = ".safetensors"
KEPT_OPEN = 16  # batches, which are mapped into memory


class KeptInBatch(Kept):
    """An item in the file of a batch."""

    __slots__ = ()

    def read(self, name: str) -> bytes | None:
        batch = _opened(self.path)
        if batch is None:
            raise FileNotFoundError(self.path)
        full = f"{self.key}/{name}"
        return batch.file.get_tensor(full).tobytes() if full in batch.names else None


class BatchStore(Store):
    """Keeps items that are put together in one file."""

    def find(self, keys: Sequence[str]) -> list[KeptInBatch | None]:
        """Return each item, or None where it is not kept; items that were put together are found fastest."""
        batch = self._path(keys)
        if item_keys(batch).issuperset(keys):
            return [KeptInBatch(key, batch) for key in keys]
        return [self._look_up(key) for key in keys]

    def put(self, items: Mapping[str, Mapping[str, bytes]]) -> list[KeptInBatch]:
        import numpy as np
        from safetensors.numpy import save

        if not items:
            return []
        batch = self._path(list(items))
        if not item_keys(batch):
            files = {f"{key}/{name}": data for key, item in items.items() for name, data in item.items()}
            data = save({name: np.frombuffer(data, np.uint8) for name, data in files.items()})
            atomic_write_bytes(batch, data, replace=False)
        return [KeptInBatch(key, batch) for key in items]

    def items(self) -> list[Path]:
        return [path for path in super().items() if path.suffix == SUFFIX]

    def refresh(self) -> None:
        """Read the index of all batches anew at the next search, so that items kept since then are found.

        Otherwise it stays as it was first read: reading it for every batch would take too long.
        """
        self.__dict__.pop("_index", None)

    def _path(self, keys: Sequence[str]) -> Path:
        name = sha256_bytes("\n".join(sorted(keys)).encode())
        return self.folder / name[:2] / f"{name}{SUFFIX}"

    def _look_up(self, key: str) -> KeptInBatch | None:
        batches, numbers, starts = self._index
        start = _start(key)
        for place in range(int(starts.searchsorted(start)), len(starts)):
            if starts[place] != start:
                break
            if key in item_keys(batches[numbers[place]]):
                return KeptInBatch(key, batches[numbers[place]])
        return None

    @functools.cached_property
    def _index(self) -> tuple[list[Path], np.ndarray, np.ndarray]:
        """Return all batches, and of every item its batch's number and the start of its key, sorted by the latter.

        That is 12 bytes an item: a store may hold millions.
        """
        import numpy as np

        batches, numbers, starts = self.items(), [], []
        for number, batch in enumerate(batches):
            own = [_start(key) for key in item_keys(batch)]
            starts.append(np.array(own, np.uint64))
            numbers.append(np.full(len(own), number, np.int32))
        if not batches:
            return [], np.empty(0, np.int32), np.empty(0, np.uint64)
        every = np.concatenate(starts)
        order = np.argsort(every, kind="stable")  # so that of two batches with the same item the first one counts
        return batches, np.concatenate(numbers)[order], every[order]


def item_keys(batch: Path) -> frozenset[str]:
    """Return the keys of a batch's items: none if it is not there or was damaged, and so removed."""
    opened = _opened(batch)
    return frozenset() if opened is None else opened.keys


@dataclasses.dataclass(frozen=True)
class _Batch:
    file: Any  # of safetensors
    names: frozenset[str]
    keys: frozenset[str]


def _opened(batch: Path) -> _Batch | None:
    from safetensors import SafetensorError

    try:
        about = batch.stat()
        return _map(batch, about.st_ino, about.st_mtime_ns, about.st_size)
    except FileNotFoundError:
        return None
    except SafetensorError as error:
        logger.warning("the finished work in %s is damaged (%s); it is done anew", batch, error)
        batch.unlink(missing_ok=True)
        return None


@functools.lru_cache(maxsize=KEPT_OPEN)
def _map(batch: Path, *_: int) -> _Batch:
    """Map a batch into memory; the other arguments tell it from a file that took its place."""
    from safetensors import safe_open

    file = safe_open(batch, "numpy")
    names = frozenset(file.keys())
    return _Batch(file, names, frozenset(name.partition("/")[0] for name in names))


def _start(key: str) -> int:
    return int(key[:16], 16)
