"""What is to be edited: one job per photo and index, with its value, its sentence and the seeds of its attempts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from varireal.base.files import read_mask, sha256_file
from varireal.base.manifest import Attribute, Feasibility, ImageRecord
from varireal.base.seeding import derive_seed, generator
from varireal.prompts.templates import Sentence, described, edit_prompt

if TYPE_CHECKING:
    from varireal.prompts import AttributeSpec, PromptTable


@dataclasses.dataclass(frozen=True)
class EditJob:
    """Describes one edit to make: this photo, with this value of the attribute."""

    photo: ImageRecord
    mask_sha256: str
    attribute: Attribute
    feasibility: Feasibility
    index: int  # which edit of the photo in its cell, from 0
    spec: AttributeSpec
    prompt: str
    run_seed: int

    @property
    def image_id(self) -> str:
        """Return the edit's name in manifests: that of no other edit of the photo, for mixes hold several cells'."""
        return f"{self.photo.image_id}#{self.attribute}-{self.feasibility}-{self.index}"

    @property
    def sentence(self) -> Sentence:
        """Return the prompt with the value's phrase emphasised by its weight, for the models that draw."""
        return Sentence(self.prompt, self.spec.phrase, self.spec.weight)

    def attempt_seed(self, attempt: int) -> int:
        """Return the seed of an attempt, counted from 0."""
        return derive_seed(
            "edit", self.run_seed, self.photo.image_id, self.attribute, self.feasibility, self.index, attempt
        )


@dataclasses.dataclass(frozen=True)
class Failure:
    """Names a photo that cannot be edited, and why."""

    photo_id: str
    note: str


def assign_values(
    specs: Sequence[AttributeSpec], count: int, seed: int, photo_id: str, attribute: str, feasibility: str
) -> list[AttributeSpec]:
    """Return the values of a photo's edits: a permutation of the class's values of its own, repeated if need be."""
    order = generator("values", seed, photo_id, attribute, feasibility).permutation(len(specs))
    return [specs[order[index % len(specs)]] for index in range(count)]


class JobPlan:
    """Makes the jobs of one cell, one after the other each time they are asked for: never all in memory."""

    def __init__(
        self,
        photos: Callable[[], Iterable[ImageRecord]],
        table: PromptTable,
        *,
        attribute: Attribute,
        feasibility: Feasibility,
        edits_per_photo: int,
        seed: int,
        region: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> None:
        """Take a function that begins to read the photos anew, sorted as manifests are.

        Args:
            region: what may change of a photo, bool (H, W), by its mask; none: something always may.
        """
        self._photos, self._table, self._region = photos, table, region
        self._cell: tuple[Attribute, Feasibility] = (attribute, feasibility)
        self._edits_per_photo, self._seed = edits_per_photo, seed
        self.failures: list[Failure] = []  # the photos that cannot be edited, once all jobs were asked for

    def survey(self) -> tuple[int, list[AttributeSpec]]:
        """Return how many jobs there are at most, and the values they have, without a look at the masks.

        Raises:
            UserError: the prompts lack a class.
        """
        specs: dict[AttributeSpec, None] = {}
        photos = 0
        for photo in self._train_photos():
            if _known_problem(photo) is None:
                photos += 1
                specs.update(dict.fromkeys(self._values(photo)))
        return photos * self._edits_per_photo, list(specs)

    def __iter__(self) -> Iterator[EditJob]:
        """Yield the jobs, those of a photo together, in the order of their ``image_id`` but for an index above 9.

        Raises:
            UserError: a mask cannot be read, or the prompts lack a class.
        """
        self.failures = []
        for photo in _in_order_of_edits(self._train_photos()):
            if (note := _known_problem(photo) or self._mask_problem(photo)) is not None:
                self.failures.append(Failure(photo.image_id, note))
                continue
            mask_hash = sha256_file(Path(str(photo.mask_path)))
            for index, spec in enumerate(self._values(photo)):
                prompt = edit_prompt(self._cell[0], spec.phrase, photo.class_name, self._table.domain_word)
                prompt = described(prompt, spec.description)
                yield EditJob(photo, mask_hash, *self._cell, index, spec, prompt, self._seed)

    def _train_photos(self) -> Iterator[ImageRecord]:
        return (photo for photo in self._photos() if photo.split == "train")

    def _mask_problem(self, photo: ImageRecord) -> str | None:
        """Return why a photo's mask cannot be edited with, or None."""
        mask = read_mask(Path(str(photo.mask_path)))
        if mask.shape != (photo.height, photo.width):
            return f"its mask has {mask.shape[1]} x {mask.shape[0]} pixels, the photo {photo.width} x {photo.height}"
        if mask.all() or not mask.any():
            return "its mask is full" if mask.all() else "its mask is empty"
        if self._region and not self._region(mask).any():
            return "its object, grown by the recipe's dilation, leaves no background to edit"
        return None

    def _values(self, photo: ImageRecord) -> list[AttributeSpec]:
        specs = self._table.specs(*self._cell, photo.class_name)
        return assign_values(specs, self._edits_per_photo, self._seed, photo.image_id, *self._cell)


def _in_order_of_edits(photos: Iterable[ImageRecord]) -> Iterator[ImageRecord]:
    """Yield sorted photos so that the names of their edits are sorted: "a b" before "a", as "a b#0" is before "a#0"."""
    held: list[ImageRecord] = []  # photos whose names begin with that of the first one, which stand together
    for photo in photos:
        if held and not photo.image_id.startswith(held[0].image_id):
            yield from sorted(held, key=lambda each: f"{each.image_id}#")
            held = []
        held.append(photo)
    yield from sorted(held, key=lambda each: f"{each.image_id}#")


def _known_problem(photo: ImageRecord) -> str | None:
    """Return why a photo cannot be edited, as far as its record says, or None."""
    if photo.status == "failed":
        return photo.note or "its mask is unusable"
    return None if photo.mask_path else "it has no mask"
