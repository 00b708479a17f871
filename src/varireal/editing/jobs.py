"""What is to be edited: one job per photo and index, with its value, its sentence and the seeds of its attempts."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from varireal.base.files import read_image, read_mask, sha256_file
from varireal.base.manifest import FEASIBILITIES, Attribute, Feasibility, ImageRecord
from varireal.base.seeding import derive_seed, generator
from varireal.editing.colours import alike, changing
from varireal.prompts.templates import Sentence

if TYPE_CHECKING:
    from varireal.prompts import AttributeSpec, PromptTable


class Wording(NamedTuple):
    """What edits of many photos share: a value that their class shall get, and the words for it."""

    attribute: Attribute
    class_name: str
    spec: AttributeSpec
    prompt: str

    @property
    def sentence(self) -> Sentence:
        """Return the prompt with the value's phrase, or else its name, emphasised by its weight."""
        part = self.spec.phrase if self.spec.phrase in self.prompt else self.spec.name
        return Sentence(self.prompt, part, self.spec.weight)


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
    def wording(self) -> Wording:
        return Wording(self.attribute, self.photo.class_name, self.spec, self.prompt)

    @property
    def sentence(self) -> Sentence:
        """Return the prompt with the value's part of it emphasised, as :class:`Wording` has it."""
        return self.wording.sentence

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
        least_change: float = 0.0,
        match_strength: float | None = None,
    ) -> None:
        """Take a function that begins to read the photos anew, sorted as manifests are.

        Args:
            region: what may change of a photo, bool (H, W), by its mask; none: something always may.
            least_change: of colours, the difference that a value must make to a photo to be asked for.
            match_strength: of colours, how much the change by a value may differ from that by the value of the same
                index in the cell of the other feasibility; None: the cells are drawn apart.
        """
        self._least_change = least_change if attribute == "color" else 0.0
        self._match_strength = match_strength if attribute == "color" else None
        self._photos, self._table, self._region = photos, table, region
        self._cell: tuple[Attribute, Feasibility] = (attribute, feasibility)
        self._edits_per_photo, self._seed = edits_per_photo, seed
        self.failures: list[Failure] = []  # the photos that cannot be edited, once all jobs were asked for
        self._most: Counter[str] = Counter()  # jobs of each class, as far as the photos' records say
        self._asked: dict[tuple[str, AttributeSpec], None] = {}  # classes with the values that they get
        self._dropped: Counter[str] = Counter()  # of those, the ones that masks forbade so far

    def survey(self) -> tuple[int, list[AttributeSpec]]:
        """Return how many jobs there are at most, and the values they have, without a look at the masks.

        Raises:
            UserError: the prompts lack a class.
        """
        self._asked.clear()
        self._most.clear()
        for photo in self._train_photos():
            self._most[photo.class_name] += 0  # so that a class without a usable photo is known, too
            if _known_problem(photo) is None:
                self._most[photo.class_name] += self._edits_per_photo
                self._asked.update(dict.fromkeys((photo.class_name, spec) for spec in self._values(photo)))
        return self._most.total(), list(dict.fromkeys(spec for _, spec in self._asked))

    @property
    def classes(self) -> list[str]:
        """Return the classes of all training photos, after a survey."""
        return sorted(self._most)

    @property
    def wordings(self) -> list[Wording]:
        """Return the words of all jobs, each once, after a survey."""
        attribute = self._cell[0]
        return [
            Wording(attribute, name, spec, self._table.sentence(attribute, spec, name)) for name, spec in self._asked
        ]

    def count(self, class_name: str) -> int:
        """Return how many jobs a class has at most, after a survey: exactly so many once its photos were looked at."""
        return self._most[class_name] - self._dropped[class_name]

    def __iter__(self) -> Iterator[EditJob]:
        """Yield the jobs, those of a photo together, in the order of their ``image_id`` but for an index above 9.

        Raises:
            UserError: a mask cannot be read, or the prompts lack a class.
        """
        self.failures = []
        self._dropped.clear()
        for photo in _in_order_of_edits(self._train_photos()):
            known = _known_problem(photo)
            if (note := known or self._mask_problem(photo)) is not None:
                self.failures.append(Failure(photo.image_id, note))
                self._dropped[photo.class_name] += 0 if known else self._edits_per_photo
                continue
            mask_hash = sha256_file(Path(str(photo.mask_path)))
            for index, spec in enumerate(self._chosen_values(photo)):
                prompt = self._table.sentence(self._cell[0], spec, photo.class_name)
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
        """Return the values that a photo's edits have at most: all of its class where its colours are to be seen."""
        specs = self._table.specs(*self._cell, photo.class_name)
        looked_at = self._least_change or self._match_strength is not None
        return list(specs) if looked_at else self._assigned(photo, specs)

    def _chosen_values(self, photo: ImageRecord) -> list[AttributeSpec]:
        """Return the values of a photo's edits.

        Raises:
            UserError: the photo or its mask cannot be read, or the prompts lack its class.
        """
        specs = self._table.specs(*self._cell, photo.class_name)
        if self._match_strength is not None:
            return self._matched_values(photo, self._match_strength)
        if self._least_change:
            pixels, mask = read_image(Path(photo.path)), read_mask(Path(str(photo.mask_path)))
            specs = changing(pixels, mask, specs, self._least_change)
        return self._assigned(photo, specs)

    def _matched_values(self, photo: ImageRecord, within: float) -> list[AttributeSpec]:
        """Return the values of a photo's edits, each as strong as that of the same index in the other cell."""
        both = [self._table.specs(self._cell[0], kind, photo.class_name) for kind in FEASIBILITIES]
        pixels, mask = read_image(Path(photo.path)), read_mask(Path(str(photo.mask_path)))
        random = generator("match", self._seed, photo.image_id, self._cell[0])  # the same in both cells
        pairs = alike(pixels, mask, both[0], both[1], within, random)
        own = [pair[FEASIBILITIES.index(self._cell[1])] for pair in pairs]
        return [own[index % len(own)] for index in range(self._edits_per_photo)]

    def _assigned(self, photo: ImageRecord, specs: Sequence[AttributeSpec]) -> list[AttributeSpec]:
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
