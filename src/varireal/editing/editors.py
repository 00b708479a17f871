"""The ways to edit: each method is a recipe's steps and everything that decides their result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from varireal.config import ComputeConfig, EditConfig, Recipe
from varireal.editing.inpaint import Inpainter
from varireal.editing.jobs import EditJob
from varireal.editing.pictures import PictureSource
from varireal.editing.recipe import Composite, Draft, Inpaint, MakePrior, Step, TransferDetail, lay_out

_PASTE_KEYS = {"alpha", "keep_shading", "dilation", "mask_blur"}


class Editor(Protocol):
    """Makes edits; its models are loaded at the first one."""

    def __init__(
        self, config: EditConfig, recipe: Recipe, pictures: PictureSource | None, compute: ComputeConfig
    ) -> None: ...

    @property
    def identity(self) -> dict[str, object]:
        """Return everything that decides an edit besides its job, seed and pictures, as JSON values."""

    def edit(self, jobs: Sequence[EditJob], seeds: Sequence[int]) -> list[Draft]:
        """Return the finished drafts of a batch; the seeds are those of the attempts."""


class PasteEditor:
    """Method ``paste``: the prior is the edit. Needs no network."""

    def __init__(
        self, config: EditConfig, recipe: Recipe, pictures: PictureSource | None, compute: ComputeConfig
    ) -> None:
        self._recipe = recipe
        self._image_size = config.inpaint.image_size
        self._steps: list[Step] = [MakePrior(recipe, pictures)]

    @property
    def identity(self) -> dict[str, object]:
        recipe = self._recipe.model_dump(mode="json", include=_PASTE_KEYS)
        return {"method": "paste", "recipe": recipe, "image_size": self._image_size}

    def edit(self, jobs: Sequence[EditJob], seeds: Sequence[int]) -> list[Draft]:
        return _run(self._steps, jobs, seeds, self._recipe, self._image_size)


class DiffusionEditor:
    """Method ``diffusion``: an inpainting model paints over the prior."""

    def __init__(
        self, config: EditConfig, recipe: Recipe, pictures: PictureSource | None, compute: ComputeConfig
    ) -> None:
        self._recipe = recipe
        self._batch_size = config.inpaint.batch_size
        self._inpainter = Inpainter(config.inpaint, compute)
        self._steps: list[Step] = [
            MakePrior(recipe, pictures),
            Inpaint(recipe, self._inpainter),
            TransferDetail(recipe),
            Composite(recipe),
        ]

    @property
    def identity(self) -> dict[str, object]:
        return {
            "method": "diffusion",
            "recipe": self._recipe.model_dump(mode="json"),
            "inpaint": self._inpainter.identity,
            "batch_size": self._batch_size,  # it shows in the last bits
        }

    def edit(self, jobs: Sequence[EditJob], seeds: Sequence[int]) -> list[Draft]:
        return _run(self._steps, jobs, seeds, self._recipe, self._inpainter.image_size)


def _run(
    steps: Sequence[Step], jobs: Sequence[EditJob], seeds: Sequence[int], recipe: Recipe, image_size: int | None
) -> list[Draft]:
    drafts = [lay_out(job, seed, recipe, image_size) for job, seed in zip(jobs, seeds)]
    for step in steps:
        drafts = step(drafts)
    return drafts
