"""What both stores of finished items have in common: keys, places and the interface."""

from __future__ import annotations

import abc
import dataclasses
import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from varireal.base.files import named_os_errors, sha256_bytes
from varireal.errors import UserError

TIMES = "times.txt"  # in a stage's folder
NOTED = re.compile(r"^(\d+) (\d+\.\d{3})$")

_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode


def work_root() -> Path:
    """Return the folder of finished items: ``.work`` in the DVC repository (also in its temporary checkouts)."""
    return Path(os.environ.get("DVC_ROOT", ".")) / ".work"


def content_key(inputs: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the inputs as canonical JSON; values must be JSON values (hashes stand for files)."""
    return sha256_bytes(_encode(inputs).encode())


@dataclasses.dataclass(frozen=True, slots=True)
class Kept(abc.ABC):
    """A finished item: its key, and the folder or file that holds it."""

    key: str
    path: Path

    @abc.abstractmethod
    def read(self, name: str) -> bytes | None:
        """Return one of the item's files, or None if it has none of that name.

        Raises:
            OSError: the item has vanished or been damaged since it was found.
        """


class Store(abc.ABC):
    """The finished items of one stage."""

    def __init__(self, stage: str, root: Path | None = None) -> None:
        """Use the stage's folder below ``root``, or below :func:`work_root`."""
        self.root = root or work_root()
        self.folder = self.root / stage

    @abc.abstractmethod
    def find(self, keys: Sequence[str]) -> Sequence[Kept | None]:
        """Return each item, or None where it is not kept."""

    @abc.abstractmethod
    def put(self, items: Mapping[str, Mapping[str, bytes]]) -> Sequence[Kept]:
        """Keep the files of items, by key; what another process kept first under the same keys stays.

        Raises:
            UserError: the disk is full or not writable; nothing half-written remains.
        """

    def get(self, key: str) -> Kept | None:
        """Return an item, or None where it is not kept."""
        return self.find([key])[0]

    def require(self, key: str) -> Kept:
        """Return an item that was finished before.

        Raises:
            UserError: it vanished.
        """
        if (kept := self.get(key)) is None:
            raise UserError(f"the finished item {key} vanished from {self.root} while the stage ran; run it again")
        return kept

    def items(self) -> list[Path]:
        """Return the folders or files that hold the finished items, in the order of their names."""
        return sorted(path for path in self.folder.glob("*/*") if not path.name.startswith("."))

    def note_time(self, pieces: int, seconds: float) -> None:
        """Note how long some pieces took together: for estimates only, beside the items.

        Raises:
            UserError: the disk is full or not writable.
        """
        path = self.folder / TIMES
        with named_os_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a", encoding="utf-8") as file:
                file.write(f"{pieces} {seconds:.3f}\n")

    def times(self) -> list[tuple[int, float]]:
        """Return what was noted, oldest first: pieces, and the seconds that they took together."""
        path = self.folder / TIMES
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        noted = [match for line in lines if (match := NOTED.match(line))]  # a killed process may leave half a line
        return [(int(match[1]), float(match[2])) for match in noted]

    def unfinished(self, key: str) -> Path:
        """Return the folder in which an item under way may keep what it has so far."""
        return self.folder.with_name(f"{self.folder.name}-unfinished") / key[:2] / key

    def drop_unfinished(self, key: str) -> None:
        """Remove what an item under way has kept, if anything."""
        shutil.rmtree(self.unfinished(key), ignore_errors=True)
