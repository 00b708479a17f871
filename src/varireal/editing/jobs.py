"""What is to be edited: one job per photo and index, with its value, its sentence and the seeds of its attempts."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from varireal.io import read_mask, sha256_file
from varireal.manifest import Attribute, Feasibility, ImageRecord
from varireal.prompts.templates import edit_prompt
from varireal.seeding import derive_seed, generator

if TYPE_CHECKING:
    from varireal.prompts import AttributeSpec, PromptTable


@dataclasses.dataclass(frozen=True)
class EditJob:
    """One edit to make: this photo, with this value of the attribute."""

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
        """Return the edit's name in the manifest."""
        return f"{self.photo.image_id}#{self.index}"

    def attempt_seed(self, attempt: int) -> int:
        """Return the seed of an attempt, counted from 0."""
        return derive_seed(
            "edit", self.run_seed, self.photo.image_id, self.attribute, self.feasibility, self.index, attempt
        )


@dataclasses.dataclass(frozen=True)
class Failure:
    """A photo that cannot be edited, and why."""

    photo_id: str
    note: str


@dataclasses.dataclass(frozen=True)
class Verdict:
    """A filter's answer to one edited picture."""

    accepted: bool
    scores: dict[str, float]  # as shown in the manifest
    quality: float  # ranks the attempts of an edit that never passes: the largest is kept


class EditFilter(Protocol):
    """Decides which edits count as good. Its models are loaded at the first call of ``check``."""

    @property
    def identity(self) -> dict[str, object]:
        """Return everything that decides a verdict besides the picture and the job, as JSON values."""

    def check(self, images: Sequence[np.ndarray], jobs: Sequence[EditJob]) -> list[Verdict]:
        """Judge edited pictures, uint8 (H, W, 3), in the order of their jobs."""


def assign_values(
    specs: Sequence[AttributeSpec], count: int, seed: int, photo_id: str, attribute: str, feasibility: str
) -> list[AttributeSpec]:
    """Return the values of a photo's edits: a permutation of the class's values of its own, repeated if need be."""
    order = generator("values", seed, photo_id, attribute, feasibility).permutation(len(specs))
    return [specs[order[index % len(specs)]] for index in range(count)]


def plan_jobs(
    records: Iterable[ImageRecord],
    table: PromptTable,
    *,
    attribute: Attribute,
    feasibility: Feasibility,
    edits_per_photo: int,
    seed: int,
) -> tuple[list[EditJob], list[Failure]]:
    """Return the jobs of one cell, sorted by photo and index, and the training photos that cannot be edited.

    Raises:
        UserError: a mask cannot be read, or the prompts lack a class.
    """
    jobs: list[EditJob] = []
    failures: list[Failure] = []
    for photo in sorted(records, key=lambda record: record.image_id):
        if photo.split != "train":
            continue
        if (note := _mask_problem(photo)) is not None:
            failures.append(Failure(photo.image_id, note))
            continue
        mask_hash = sha256_file(Path(str(photo.mask_path)))
        specs = table.specs(attribute, feasibility, photo.class_name)
        values = assign_values(specs, edits_per_photo, seed, photo.image_id, attribute, feasibility)
        for index, spec in enumerate(values):
            prompt = edit_prompt(attribute, spec.phrase, photo.class_name, table.domain_word)
            jobs.append(EditJob(photo, mask_hash, attribute, feasibility, index, spec, prompt, seed))
    return jobs, failures


def _mask_problem(photo: ImageRecord) -> str | None:
    """Return why a photo's mask cannot be edited with, or None."""
    if photo.status == "failed":
        return photo.note or "its mask is unusable"
    if photo.mask_path is None:
        return "it has no mask"
    mask = read_mask(Path(photo.mask_path))
    if mask.shape != (photo.height, photo.width):
        return f"its mask has {mask.shape[1]} x {mask.shape[0]} pixels, the photo {photo.width} x {photo.height}"
    if mask.all() or not mask.any():
        return "its mask is full" if mask.all() else "its mask is empty"
    return None
