"""What a data set must offer to `varireal prepare`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from varireal.base.manifest import Split
from varireal.config import DatasetConfig


@dataclass(frozen=True, slots=True)
class PhotoFiles:
    """A photo as it will be stored."""

    suffix: Literal[".jpg", ".png"]
    data: bytes  # the encoded file
    width: int  # pixels, of the upright picture
    height: int
    mask: bytes | None  # PNG of the photo's size, 255 on the object and 0 elsewhere


class Photo(Protocol):
    """One photo, described so that any process can load it (picklable, nothing decoded yet)."""

    @property
    def image_id(self) -> str:
        """Unique and safe as a path: ``<class slug>/<name>``."""

    @property
    def split(self) -> Split: ...

    @property
    def class_index(self) -> int: ...

    @property
    def source(self) -> str:
        """What to call the photo in a message: its file, or how it is made."""

    def load(self) -> PhotoFiles:
        """Return the files.

        Raises:
            UserError: the photo or its mask cannot be used.
        """


class Picture(Protocol):
    """One ready-made picture of an empty place or of a material, described as above."""

    @property
    def attribute(self) -> Literal["background", "texture"]: ...

    @property
    def name(self) -> str:
        """The value of the attribute that it shows; safe as a folder name."""

    @property
    def index(self) -> int: ...

    def load(self) -> bytes:
        """Return the picture as PNG."""


class Dataset(Protocol):
    """Classes, photos with their splits, and whatever else the data set has."""

    classes: Sequence[str]  # names as they stand in prompts; the position is the class index
    has_masks: bool

    def __init__(self, config: DatasetConfig, seed: int) -> None: ...

    def photos(self) -> Sequence[Photo]:
        """Return all photos; the same config and seed always give the same ones, in the same order."""

    def pictures(self) -> Sequence[Picture]:
        """Return the ready-made pictures, if the data set renders them."""
