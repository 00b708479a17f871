"""Finished items kept by content key, so that a killed run goes on where it stopped.

An item is a small folder ``<root>/<stage>/<key[:2]>/<key>`` that appears by one rename: it is there whole or not at
all. The key hashes every input of the item; new settings give new keys, so nothing found here can be stale.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from varireal.base.files import named_os_errors, sha256_bytes

_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode


def work_root() -> Path:
    """Return the folder of finished items: ``.work`` in the DVC repository (also in its temporary checkouts)."""
    return Path(os.environ.get("DVC_ROOT", ".")) / ".work"


def content_key(inputs: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the inputs as canonical JSON; values must be JSON values (hashes stand for files)."""
    return sha256_bytes(_encode(inputs).encode())


class WorkStore:
    """The finished items of one stage."""

    def __init__(self, stage: str, root: Path | None = None) -> None:
        self.root = root or work_root()  # of the stores of all stages
        self.folder = self.root / stage

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / key

    def items(self) -> list[Path]:
        """Return the folders of all finished items, in the order of their keys."""
        return sorted(path for path in self.folder.glob("*/*") if not path.name.startswith("."))

    def unfinished(self, key: str) -> Path:
        """Return the folder where an item under way may keep what it has so far; removing it is up to the caller."""
        return self.folder.with_name(f"{self.folder.name}-unfinished") / key[:2] / key

    def drop_unfinished(self, key: str) -> None:
        """Remove what an item under way has kept, if anything."""
        shutil.rmtree(self.unfinished(key), ignore_errors=True)

    def get(self, key: str) -> Path | None:
        """Return the folder of a finished item, or None."""
        path = self._path(key)
        return path if path.is_dir() else None

    def put(self, key: str, files: Mapping[str, bytes]) -> Path:
        """Store an item's files and return its folder; a copy that another process stored first is kept.

        Raises:
            UserError: the disk is full or not writable; nothing half-written remains.
        """
        path = self._path(key)
        with named_os_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = Path(tempfile.mkdtemp(prefix=".new-", dir=path.parent))
            try:
                for name, data in files.items():
                    with (temporary / name).open("wb") as file:
                        file.write(data)
                        file.flush()
                        os.fsync(file.fileno())
                if not path.is_dir():
                    try:
                        temporary.rename(path)
                    except OSError:
                        if not path.is_dir():  # not the race that another process won
                            raise
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
        return path
