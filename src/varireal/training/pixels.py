"""Pictures as CLIP sees them, decoded once in the whole study: packs of uint8 pixels in .work, mapped into memory."""

from __future__ import annotations

import json
import logging
import shutil
import zlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from filelock import FileLock
from PIL import Image

from varireal.base.files import json_bytes, named_os_errors, read_image, sha256_file
from varireal.compute.processes import available_cores
from varireal.errors import UserError
from varireal.store import FolderStore, content_key

if TYPE_CHECKING:
    from varireal.base.manifest import ImageRecord
    from varireal.training.classifiers import Classifier

logger = logging.getLogger(__name__)

REVISION = 1  # raised when the same picture gets other pixels
PIXELS, INDEX = "pixels.bin", "index.json"  # a pack: pictures one after the other, and their hashes
PACK_BYTES = 2**28  # of pixels, at most: what is built in memory, and what a kill can lose


class Pixels:
    """Pictures of a manifest in its order, uint8 (N, S, S, 3), read from mapped packs as they are asked for."""

    def __init__(self, rows: Sequence[np.ndarray]) -> None:
        """Take the pictures, at least one, each uint8 (S, S, 3)."""
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, positions: torch.Tensor) -> torch.Tensor:
        """Return a copy of the pictures at the positions, uint8 (n, S, S, 3)."""
        copies = np.empty((len(positions), *self._rows[0].shape), np.uint8)
        for place, position in enumerate(positions.tolist()):
            copies[place] = self._rows[position]
        return torch.from_numpy(copies)

    def split(self, size: int) -> Iterator[torch.Tensor]:
        """Yield all pictures in their order, ``size`` at a time."""
        for start in range(0, len(self), size):
            yield self[torch.arange(start, min(start + size, len(self)))]


class WholePixels:
    """Whole pictures of a manifest in its order, each of its own size, read from mapped packs as they are asked for."""

    def __init__(self, rows: Sequence[np.ndarray]) -> None:
        """Take the pictures, each uint8 (H, W, 3)."""
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, positions: torch.Tensor) -> list[np.ndarray]:
        """Return the pictures at the positions, uint8 (H, W, 3), which must not be written to."""
        return [self._rows[position] for position in positions.tolist()]

    @property
    def mean_bytes(self) -> float:
        """Return the mean size of a picture."""
        return sum(row.nbytes for row in self._rows) / len(self._rows)


def shrunk(picture: np.ndarray, short_side: int) -> np.ndarray:
    """Return a picture with at most so many pixels on its shorter side; small ones stay as they are."""
    height, width = picture.shape[:2]
    factor = short_side / min(height, width)
    if factor >= 1:
        return picture
    size = round(width * factor), round(height * factor)
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))


class PixelCache:
    """The packs of pictures that one CLIP's resizing made; stages and processes share them.

    A picture is known by the hash of its file, so that a photo or an edit is decoded once, whichever cells of the
    grid train on it. Every pack carries a checksum a picture: a damaged one is thrown away and made again.
    """

    def __init__(self, clip: Classifier, work: Path | None = None, short_side: int | None = None) -> None:
        """Keep squares as the network sees them, or whole pictures of at most ``short_side`` pixels."""
        self._clip, self._short_side = clip, short_side
        made_by = {"revision": REVISION, "pillow": version("pillow"), "torchvision": version("torchvision")}
        resized = {"preprocessing": clip.preprocessing} if short_side is None else {"short_side": short_side}
        self._geometry = content_key({**made_by, **resized})
        self._store = FolderStore(f"pixels-{self._geometry[:16]}", work)
        self._shape = (clip.image_size, clip.image_size, 3)

    def load(self, records: Sequence[ImageRecord], root: Path = Path()) -> Pixels:
        """Return the pictures of a manifest as squares, decoding those that no pack has.

        Raises:
            UserError: a picture is missing, cannot be read or is not the manifest's, or the disk is full.
        """
        return Pixels(self._rows(records, root))

    def load_whole(self, records: Sequence[ImageRecord], root: Path = Path()) -> WholePixels:
        """Return the whole pictures of a manifest, as :meth:`load` does squares.

        Raises:
            UserError: as for :meth:`load`.
        """
        return WholePixels(self._rows(records, root))

    def _rows(self, records: Sequence[ImageRecord], root: Path) -> list[np.ndarray]:
        wanted = {record.sha256: root / record.path for record in records}
        known = self._known(wanted)
        if len(known) < len(wanted):
            with named_os_errors(self._store.folder):
                self._store.folder.mkdir(parents=True, exist_ok=True)
                with FileLock(self._store.folder / ".lock"):  # another process may be decoding just these
                    known = self._known(wanted)
                    self._decode({sha256: path for sha256, path in wanted.items() if sha256 not in known})
            known = self._known(wanted)
        return [known[record.sha256] for record in records]

    def _known(self, wanted: Mapping[str, Path]) -> dict[str, np.ndarray]:
        """Return the wanted pictures that sound packs hold; remove packs that are not sound."""
        known: dict[str, np.ndarray] = {}
        for folder in self._store.items():
            try:
                known |= self._read(folder, wanted.keys() - known.keys())
            except (OSError, ValueError, KeyError, TypeError) as error:
                logger.warning("the pixels kept in %s are damaged (%s); they are made anew", folder, error)
                shutil.rmtree(folder, ignore_errors=True)
        return known

    def _read(self, folder: Path, wanted: set[str]) -> dict[str, np.ndarray]:
        """Map one pack; raise ValueError if its size or the checksum of a wanted picture is wrong."""
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        names, checks = index["sha256"], index["crc32"]
        if wanted.isdisjoint(names):
            return {}
        pixels = np.memmap(folder / PIXELS, dtype=np.uint8, mode="r")
        if self._short_side is None:
            rows: Sequence[np.ndarray] = list(pixels.reshape(len(names), *self._shape))
        else:
            rows = _cut_apart(pixels, index["sizes"])
        checked = {name: (row, check) for name, row, check in zip(names, rows, checks, strict=True) if name in wanted}
        for name, (row, check) in checked.items():
            if zlib.crc32(row.data) != check:
                raise ValueError(f"the checksum of {name} differs")
        return {name: row for name, (row, _) in checked.items()}

    def _decode(self, missing: Mapping[str, Path]) -> None:
        """Write packs of the missing pictures, each as soon as it is full."""
        # whole pictures are twice as long as high at most, but for rare ones
        of_one = int(np.prod(self._shape)) if self._short_side is None else 6 * self._short_side**2
        names, size = list(missing), max(1, PACK_BYTES // of_one)
        with ThreadPoolExecutor(available_cores()) as pool:  # Pillow decodes and resizes without Python's lock
            for start in range(0, len(names), size):
                chosen = names[start : start + size]
                rows = list(pool.map(lambda name: self._one(name, missing[name]), chosen))
                index: dict[str, Any] = {"sha256": chosen, "crc32": [zlib.crc32(row.data) for row in rows]}
                if self._short_side is not None:
                    index["sizes"] = [row.shape[:2] for row in rows]
                key = content_key({"geometry": self._geometry, "images": chosen})
                pixels = b"".join(row.tobytes() for row in rows)
                self._store.put({key: {PIXELS: pixels, INDEX: json_bytes(index)}})

    def _one(self, sha256: str, path: Path) -> np.ndarray:
        picture = read_image(path)
        if sha256_file(path) != sha256:
            raise UserError(f"the image {path} is not the one in the manifest; run the stage that made it (dvc repro)")
        resized = self._clip.resize(picture) if self._short_side is None else shrunk(picture, self._short_side)
        return np.ascontiguousarray(resized)


def _cut_apart(pixels: np.ndarray, sizes: Sequence[tuple[int, int]]) -> list[np.ndarray]:
    """Return the pictures of a pack by their heights and widths; raise ValueError if they are not its length."""
    ends = np.cumsum([3 * height * width for height, width in sizes])
    if not len(ends) or ends[-1] != len(pixels):
        raise ValueError(f"its {len(pixels)} bytes are not those of {len(ends)} pictures")
    parts = np.split(pixels, ends[:-1])
    return [part.reshape(height, width, 3) for part, (height, width) in zip(parts, sizes, strict=True)]
