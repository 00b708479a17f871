"""Finished items kept many to a file: the store for items too many for a folder and an fsync each.

A pack is a file ``<root>/<stage>/<k[:2]>/<k>.safetensors`` that appears whole or not at all. Its tensors are the files
of its items as bytes, named ``<key of the item>/<name of the file>``, where the key hashes every input of the item as
in `varireal.store.folders`; k hashes the keys.
So items that were stored together are found together without a search, and
any other item through an index of all packs, which is read when it is first needed.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from varireal.base.files import atomic_write_bytes, sha256_bytes
from varireal.store.folders import work_root

if TYPE_CHECKING:
    import numpy as np

logger = logging.getLogger(__name__)

SUFFIX = ".safetensors"
KEPT_OPEN = 16  # packs, which are mapped into memory


@dataclasses.dataclass(frozen=True, slots=True)
class Kept:
    """A finished item: its key, and the pack that holds it."""

    key: str
    pack: Path

    def read(self, name: str) -> bytes | None:
        """Return one of the item's files, or None if it has none of that name.

        Raises:
            OSError: the pack has vanished or been damaged since it was found.
        """
        pack = _opened(self.pack)
        if pack is None:
            raise FileNotFoundError(self.pack)
        full = f"{self.key}/{name}"
        return pack.file.get_tensor(full).tobytes() if full in pack.names else None


class PackStore:
    """The finished items of one stage."""

    def __init__(self, stage: str, root: Path | None = None) -> None:
        self.folder = (root or work_root()) / stage

    def packs(self) -> list[Path]:
        """Return all packs, in the order of their names."""
        return sorted(self.folder.glob(f"*/[!.]*{SUFFIX}"))

    def find(self, keys: Sequence[str]) -> list[Kept | None]:
        """Return each item, or None where it is not there; those that were stored together are found fastest."""
        pack = self._path(keys)
        if item_keys(pack).issuperset(keys):
            return [Kept(key, pack) for key in keys]
        return [self._look_up(key) for key in keys]

    def put(self, items: Mapping[str, Mapping[str, bytes]]) -> list[Kept]:
        """Store the files of items, by key, as one pack; if another process stored just these first, its stay.

        Raises:
            UserError: the disk is full or not writable; nothing half-written remains.
        """
        import numpy as np
        from safetensors.numpy import save

        if not items:
            return []
        pack = self._path(list(items))
        if not item_keys(pack):
            files = {f"{key}/{name}": data for key, item in items.items() for name, data in item.items()}
            data = save({name: np.frombuffer(data, np.uint8) for name, data in files.items()})
            atomic_write_bytes(pack, data, replace=False)
        return [Kept(key, pack) for key in items]

    def refresh(self) -> None:
        """Let items be found alone that were stored since one was first looked for alone, here or by other processes.

        The index of all packs is kept as it was read then, because reading it for every batch would take too long.
        """
        self.__dict__.pop("_index", None)

    def _path(self, keys: Sequence[str]) -> Path:
        name = sha256_bytes("\n".join(sorted(keys)).encode())
        return self.folder / name[:2] / f"{name}{SUFFIX}"

    def _look_up(self, key: str) -> Kept | None:
        packs, numbers, starts = self._index
        start = _start(key)
        for place in range(int(starts.searchsorted(start)), len(starts)):
            if starts[place] != start:
                break
            if key in item_keys(packs[numbers[place]]):
                return Kept(key, packs[numbers[place]])
        return None

    @functools.cached_property
    def _index(self) -> tuple[list[Path], np.ndarray, np.ndarray]:
        """Return all packs, and of every item the number of its pack and the start of its key, sorted by the latter.

        That is 12 bytes an item: a store may hold millions.
        """
        import numpy as np

        packs, numbers, starts = self.packs(), [], []
        for number, pack in enumerate(packs):
            found = [_start(key) for key in item_keys(pack)]
            starts.append(np.array(found, np.uint64))
            numbers.append(np.full(len(found), number, np.int32))
        if not packs:
            return [], np.empty(0, np.int32), np.empty(0, np.uint64)
        every = np.concatenate(starts)
        order = np.argsort(every, kind="stable")  # so that of two packs with the same item the first one counts
        return packs, np.concatenate(numbers)[order], every[order]


def item_keys(pack: Path) -> frozenset[str]:
    """Return the keys of a pack's items: none if it is not there or was damaged, and so removed."""
    opened = _opened(pack)
    return frozenset() if opened is None else opened.keys


@dataclasses.dataclass(frozen=True)
class _Pack:
    file: Any  # of safetensors
    names: frozenset[str]
    keys: frozenset[str]


def _opened(pack: Path) -> _Pack | None:
    from safetensors import SafetensorError

    try:
        about = pack.stat()
        return _map(pack, about.st_ino, about.st_mtime_ns, about.st_size)
    except FileNotFoundError:
        return None
    except SafetensorError as error:
        logger.warning("the finished work in %s is damaged (%s); it is done anew", pack, error)
        pack.unlink(missing_ok=True)
        return None


@functools.lru_cache(maxsize=KEPT_OPEN)
def _map(pack: Path, *_: int) -> _Pack:
    """Map a pack into memory; the other arguments tell it from a file that took its place."""
    from safetensors import safe_open

    file = safe_open(pack, "numpy")
    names = frozenset(file.keys())
    return _Pack(file, names, frozenset(name.partition("/")[0] for name in names))


def _start(key: str) -> int:
    return int(key[:16], 16)
