"""The ways to edit: each method is a recipe's steps and everything that decides their result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from varireal.base.manifest import ImageRecord
from varireal.config import ComputeConfig, EditConfig, Recipe
from varireal.editing.drafts import Draft, lay_out, look_at
from varireal.editing.inpaint import Inpainter
from varireal.editing.instruct import Instruct, Instructed
from varireal.editing.jobs import EditJob, Wording
from varireal.editing.matting import Matte
from varireal.editing.pictures import PictureSource
from varireal.editing.recipe import (
    Composite,
    Inpaint,
    RecipeStep,
    Refine,
    TransferDetail,
    prior_step,
)
from varireal.editing.refine import Refiner
from varireal.prompts.templates import Sentence

if TYPE_CHECKING:
    from varireal.prompts import AttributeSpec

_JOB_KEYS = {"least_change"}  # settings of a recipe that decide which edits are made, not how
# settings of a recipe that the method paste reads, and those that nothing reads where nothing is refined
_PASTE_KEYS = {
    "alpha",
    "keep_shading",
    "dilation",
    "mask_blur",
    "crop_min",
    "crop_max",
    "sharpen",
    "mirror",
    "rim",
    "crop_reach",
}
_INSTRUCT_KEYS = {"dilation", "rim", "mask_blur", "guidance_scale", "num_inference_steps"}
_REFINE_KEYS = {
    "refine", "refine_strength", "refine_guidance_scale", "refine_steps", "ip_adapter_scale",
    "controlnet_conditioning_scale",
}  # fmt: skip


class Editor(Protocol):
    """Makes edits; its models are loaded at the first one."""

    priors: ClassVar[bool]  # whether edits of backgrounds and textures start from pictures of places and materials

    def __init__(
        self, config: EditConfig, recipe: Recipe, pictures: PictureSource | None, compute: ComputeConfig
    ) -> None: ...

    @property
    def identity(self) -> dict[str, object]:
        """Return everything that decides an edit besides its job, seed and pictures, as JSON values."""
        ...

    def check(self, specs: Sequence[AttributeSpec]) -> None:
        """Check that the method can do what the values of the edits ask for.

        Raises:
            UserError: it cannot.
        """
        ...

    def expect(self, wordings: Sequence[Wording]) -> None:
        """Take the words of all edits to come, so that what reads words need not stay in memory."""
        ...

    def load(self) -> None:
        """Load the models now, and let each draw a blank picture.

        Raises:
            UserError: one cannot be loaded, or cannot draw.
        """
        ...

    def edit(self, jobs: Sequence[EditJob], seeds: Sequence[int]) -> list[Draft]:
        """Return the finished drafts of a batch; the seeds are those of the attempts."""
        ...


class PasteEditor:
    """Takes the prior as the edit, without any network: method ``paste``."""

    priors: ClassVar[bool] = True

    def __init__(
        self, config: EditConfig, recipe: Recipe, pictures: PictureSource | None, compute: ComputeConfig
    ) -> None:
        self._recipe = recipe
        self._lengths_at = config.lengths_at or config.inpaint.image_size
        self._steps: list[RecipeStep] = [prior_step(recipe, pictures)]

    @property
    def identity(self) -> dict[str, object]:
        recipe = self._recipe.model_dump(mode="json", include=_PASTE_KEYS)
        return {"method": "paste", "recipe": recipe, "image_size": self._lengths_at}

    def check(self, specs: Sequence[AttributeSpec]) -> None:
        """Take all values."""

    def expect(self, wordings: Sequence[Wording]) -> None:
        """Read no words."""

    def load(self) -> None:
        """Load nothing."""

    def edit(self, jobs: Sequence[EditJob], seeds: Sequence[int]) -> list[Draft]:
        return _run(self._steps, jobs, seeds, self._recipe, self._lengths_at)


class DiffusionEditor:
    """Lets an inpainting model paint over the prior: method ``diffusion``.

    If the recipe says so, a second model draws the painted object anew; otherwise its networks are not looked for.
    """

    priors: ClassVar[bool] = True

    def __init__(
        self, config: EditConfig, recipe: Recipe, pictures: PictureSource | None, compute: ComputeConfig
    ) -> None:
        self._recipe = recipe
        self._batch_size = config.inpaint.batch_size
        self._lengths_at = config.lengths_at
        self._inpainter = Inpainter(config.inpaint, compute, config.memory)
        self._refiner = (
            Refiner(config.refine, compute, recipe.refine_strength, config.memory) if recipe.refine else None
        )
        self._bars, self._edges = config.bars, config.refine.edges
        black = config.bars == "black"
        self._steps: list[RecipeStep] = [
            prior_step(recipe, pictures, ring=True),
            Inpaint(recipe, self._inpainter, black),
            *([Refine(recipe, self._refiner, self._edges == "blurred", black)] if self._refiner else []),
            TransferDetail(recipe),
            Composite(recipe),
        ]

    @property
    def identity(self) -> dict[str, object]:
        unread = _JOB_KEYS if self._refiner else _JOB_KEYS | _REFINE_KEYS
        return {
            "method": "diffusion",
            "recipe": self._recipe.model_dump(mode="json", exclude=unread),
            "lengths_at": self._lengths_at,
            "inpaint": self._inpainter.identity,
            **({"refine": {**self._refiner.identity, "edges": self._edges}} if self._refiner else {}),
            "bars": self._bars,
            "batch_size": self._batch_size,  # it shows in the last bits
        }

    def check(self, specs: Sequence[AttributeSpec]) -> None:
        self._inpainter.check(specs)

    def expect(self, wordings: Sequence[Wording]) -> None:
        for model in (self._inpainter, *([self._refiner] if self._refiner else [])):
            model.expect([wording.sentence for wording in wordings])

    def load(self) -> None:
        self._inpainter.load(self._recipe.guidance_scale)
        if self._refiner:
            self._refiner.load()

    def edit(self, jobs: Sequence[EditJob], seeds: Sequence[int]) -> list[Draft]:
        return _run(self._steps, jobs, seeds, self._recipe, self._lengths_at or self._inpainter.image_size)


class InstructEditor:
    """Tells a model without a mask what to change, and lays its picture over the photo: method ``instruct``.

    The photo itself is the prior. How much the model changed outside of the region is measured before that is undone.
    """

    priors: ClassVar[bool] = False

    def __init__(
        self, config: EditConfig, recipe: Recipe, pictures: PictureSource | None, compute: ComputeConfig
    ) -> None:
        self._recipe = recipe.model_copy(update={"region": "full", "refine": False})
        self._config = config
        self._model = Instructed(config.inpaint, compute, config.memory)
        self._instruct = Instruct(self._recipe, self._model, config.instruct)
        self._steps: list[RecipeStep] = [self._instruct, Composite(self._recipe)]

    @property
    def identity(self) -> dict[str, object]:
        return {
            "method": "instruct",
            "recipe": self._recipe.model_dump(mode="json", include=_INSTRUCT_KEYS),
            "lengths_at": self._config.lengths_at,
            "inpaint": self._model.identity,
            "instruct": self._config.instruct.model_dump(mode="json"),
            "batch_size": self._config.inpaint.batch_size,  # it may show in the last bits
        }

    def check(self, specs: Sequence[AttributeSpec]) -> None:
        """Take all values: an instruction has no emphasis."""

    def expect(self, wordings: Sequence[Wording]) -> None:
        self._model.expect([Sentence(self._instruct.told(wording)) for wording in wordings])

    def load(self) -> None:
        self._model.load(self._recipe.guidance_scale)

    def edit(self, jobs: Sequence[EditJob], seeds: Sequence[int]) -> list[Draft]:
        return _run(self._steps, jobs, seeds, self._recipe, self._config.lengths_at or self._model.image_size)


def _run(
    steps: Sequence[RecipeStep], jobs: Sequence[EditJob], seeds: Sequence[int], recipe: Recipe, lengths_at: int | None
) -> list[Draft]:
    seen: dict[str, tuple[np.ndarray, np.ndarray, Matte | None]] = {}

    def look(photo: ImageRecord, *how: Any) -> tuple[np.ndarray, np.ndarray, Matte | None]:
        if photo.path not in seen:
            seen[photo.path] = look_at(photo, *how)
        return seen[photo.path]

    drafts = [lay_out(job, seed, recipe, lengths_at, look) for job, seed in zip(jobs, seeds)]
    for step in steps:
        drafts = step(drafts)
    return drafts
