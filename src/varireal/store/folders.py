"""The store of items that take long to make: each is a small folder ``<root>/<stage>/<key[:2]>/<key>``."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from varireal.base.files import named_os_errors
from varireal.store.base import Kept, Store


class KeptFolder(Kept):
    """An item that is a folder of files."""

    __slots__ = ()

    def read(self, name: str) -> bytes | None:
        try:
            return (self.path / name).read_bytes()
        except FileNotFoundError:
            if self.path.is_dir():
                return None
            raise


class FolderStore(Store):
    """Keeps a folder for each item; it appears by one rename, so it is there whole or not at all."""

    def find(self, keys: Sequence[str]) -> list[KeptFolder | None]:
        return [KeptFolder(key, path) if (path := self._path(key)).is_dir() else None for key in keys]

    def put(self, items: Mapping[str, Mapping[str, bytes]]) -> list[KeptFolder]:
        return [self._put(key, files) for key, files in items.items()]

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / key

    def _put(self, key: str, files: Mapping[str, bytes]) -> KeptFolder:
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
        return KeptFolder(key, path)
