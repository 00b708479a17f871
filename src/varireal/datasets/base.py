"""What a data set must offer to `varireal prepare`, safe names of photos, and copies among files."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from varireal.base.files import sha256_bytes, sha256_file
from varireal.base.manifest import Split
from varireal.base.text import names_a_device
from varireal.compute.processes import available_cores
from varireal.config import DatasetConfig
from varireal.errors import UserError

MAX_LENGTH = 60  # of a slug


@dataclass(frozen=True, slots=True)
class PhotoFiles:
    """A photo as it will be stored."""

    suffix: Literal[".jpg", ".png"]
    data: bytes  # the encoded file
    width: int  # pixels, of the upright picture
    height: int
    mask: bytes | None  # PNG of the photo's size, 255 on the object and 0 elsewhere
    mask_turn_unknown: bool = False  # the photo is turned (EXIF), and the mask may belong to it as it is stored
    of_several: bool = False  # the photo's file holds several pages or frames of its size, of which it is the first


class Photo(Protocol):
    """One photo, described so that any process can load it (picklable, nothing decoded yet)."""

    @property
    def image_id(self) -> str:
        """Return what is unique and safe as a path: ``<class slug>/<name>``."""
        ...

    @property
    def split(self) -> Split: ...

    @property
    def class_index(self) -> int: ...

    @property
    def source(self) -> str:
        """Return what to call the photo in a message: its file, or how it is made."""
        ...

    def load(self) -> PhotoFiles:
        """Return the files.

        Raises:
            UserError: the photo or its mask cannot be used.
        """
        ...


class Picture(Protocol):
    """One ready-made picture of an empty place or of a material, described as above."""

    @property
    def attribute(self) -> Literal["background", "texture"]: ...

    @property
    def name(self) -> str:
        """Return the value of the attribute that it shows; safe as a folder name."""
        ...

    @property
    def index(self) -> int: ...

    def load(self) -> bytes:
        """Return the picture as PNG."""
        ...


class Dataset(Protocol):
    """Classes, photos with their splits, and whatever else the data set has."""

    classes: Sequence[str]  # names as they stand in prompts; the position is the class index
    has_masks: bool

    def __init__(self, config: DatasetConfig, seed: int) -> None: ...

    def photos(self) -> Sequence[Photo]:
        """Return all photos; the same config and seed always give the same ones, in the same order."""
        ...

    def pictures(self) -> Sequence[Picture]:
        """Return the ready-made pictures, if the data set renders them."""
        ...


def slug(text: str) -> str:
    """Return ``text`` in lower-case ASCII letters, digits and single dashes.

    Accents are dropped ("São Paulo" -> "sao-paulo"). Where letters would be lost altogether, the text is too long or
    Windows would take the name for a device ("con"), eight digits of its hash are appended, so that different names
    stay different.
    """
    decomposed = unicodedata.normalize("NFKD", text)
    kept = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    plain = re.sub(r"[^a-z0-9]+", "-", kept.lower()).strip("-")
    lossy = any(letter.isalnum() and not letter.isascii() for letter in kept)
    if plain and not lossy and len(plain) <= MAX_LENGTH and not names_a_device(plain):
        return plain
    return f"{plain[:MAX_LENGTH].strip('-')}-{_digest(text)}".lstrip("-")


def unique_slugs(names: Iterable[str], shown: Callable[[str], str] = str) -> dict[str, str]:
    """Return a slug of ``shown(name)`` for each name; names that share one all get digits of their hash appended."""
    plain = {name: slug(shown(name)) for name in names}
    uses = Counter(plain.values())
    return {name: text if uses[text] == 1 else f"{text}-{_digest(name)}" for name, text in plain.items()}


def _digest(text: str) -> str:
    return sha256_bytes(unicodedata.normalize("NFC", text).encode("utf-8", "surrogatepass"))[:8]


def content_hashes(paths: Sequence[Path]) -> list[str | None]:
    """Return each file's SHA-256; None for one that is empty or unreadable (loading it tells why).

    The same file in two splits would leak, in two classes its label would contradict itself.
    """
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(available_cores()) as pool:
        return list(pool.map(_content_hash, paths))


def refuse_pairs(pairs: Sequence[tuple[str, str]], mend: str) -> None:
    """Raise a UserError that names the first of the pairs, if there is one.

    Args:
        pairs: two descriptions each, such as ``"a/1.jpg (a, train)"``.
    """
    if pairs:
        one, other = pairs[0]
        more = f" (and {len(pairs) - 1} more pairs)" if len(pairs) > 1 else ""
        raise UserError(
            f"one photo stands twice in the data set, in different splits or classes: {one} is the same file as "
            f"{other}{more}; {mend}"
        )


def _content_hash(path: Path) -> str | None:
    try:
        return sha256_file(path) if path.stat().st_size else None
    except OSError:
        return None
