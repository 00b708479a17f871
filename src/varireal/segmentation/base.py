"""What finds the object in photos, as the rest of the package sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from varireal.base.manifest import ImageRecord
from varireal.config import ComputeConfig, SegmentConfig
from varireal.prompts.templates import named_object

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Segment:
    """Holds the object that a segmenter saw in a photo."""

    mask: np.ndarray  # bool (H, W), of the photo's size
    details: dict[str, Any] = field(default_factory=dict)  # how it was seen, as JSON values: box, score, phrase


class Segmenter(Protocol):
    """Finds the object in photos."""

    def __init__(self, config: SegmentConfig, compute: ComputeConfig, domain_word: str = "") -> None:
        """Check everything that needs no network and no photo.

        Args:
            domain_word: the data set's; beside a photo's class name it says what to look for.

        Raises:
            UserError: a checkpoint is missing or of the wrong kind.
        """

    def identity(self) -> dict[str, Any]:
        """Return all that decides over the masks beside the photos and their phrases, for content keys."""
        ...

    def phrase(self, photo: ImageRecord) -> str | None:
        """Return the words that the photo's mask depends on, or None where words play no part."""

    def load(self) -> None:
        """Load the networks, so that a checkpoint which cannot be used is told before any photo is read.

        Raises:
            UserError: a checkpoint cannot be loaded.
        """

    def segment(self, photos: Sequence[ImageRecord]) -> list[Segment | None]:
        """Return what is found in each photo; None where there is nothing.

        All photos of a call are one batch; the results do not depend on which photos share it, beyond the last bits
        of a float.

        Raises:
            UserError: the checkpoint or a photo cannot be used, or the device's memory does not hold the batch.
        """
        ...


def object_phrase(photo: ImageRecord, domain_word: str, query: Literal["class", "domain"]) -> str:
    """Return the words for the object in a photo: ``"trijet aircraft"``, or ``"aircraft"`` alone.

    In lower case, and without the full stops and question marks of names such as "St. Bernard": they end a phrase
    for Grounding DINO. The study asked with the class name and its domain word.
    """
    words = domain_word if query == "domain" else named_object(photo.class_name, domain_word)
    return " ".join(words.lower().replace(".", " ").replace("?", " ").split())
