"""Editors without a mask, told in words what to change: they draw the whole photo anew."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from varireal.editing.drafts import Draft, letterbox
from varireal.editing.families import INSTRUCT
from varireal.editing.families.choosing import choose_family
from varireal.editing.model import SquareModel
from varireal.editing.pipelines import Pipeline
from varireal.editing.pixels import difference
from varireal.prompts.templates import Sentence, filled

if TYPE_CHECKING:
    from varireal.config import ComputeConfig, InpaintConfig, InstructConfig, MemoryConfig, Recipe
    from varireal.editing.jobs import EditJob, Wording


class Instructed(SquareModel):
    """Draws pictures anew as it is told."""

    def __init__(self, config: InpaintConfig, compute: ComputeConfig, memory: MemoryConfig) -> None:
        """Check that everything is there.

        Raises:
            UserError: the checkpoint is missing, or is of no family that draws by instruction.
        """
        section = "edit.inpaint"
        family = choose_family(section, config, INSTRUCT)
        super().__init__(Pipeline(INSTRUCT, section, config, compute, memory, family), config.image_size)

    def load(self, guidance_scale: float = 1.0) -> None:
        """Load the networks now, and let them draw a blank picture.

        Raises:
            UserError: they cannot be loaded, cannot draw, or cannot be guided by that much.
        """
        from PIL import Image

        self._pipeline.check_guidance(guidance_scale)
        side = self._pipeline.blank_side(self.image_size)
        self._pipeline.draw_blank(side, {"image": [Image.new("RGB", (side, side), "grey")]})

    def draw(
        self,
        pictures: Sequence[np.ndarray],
        instructions: Sequence[str],
        seeds: Sequence[int],
        *,
        guidance_scale: float,
        num_inference_steps: int,
    ) -> list[np.ndarray]:
        """Return the pictures, uint8 (S, S, 3), drawn anew as the instructions say."""
        from PIL import Image

        drawn = self._pipeline.run(
            [Sentence(text) for text in instructions],
            seeds,
            guidance_scale,
            self.image_size,
            {"image": [Image.fromarray(picture) for picture in pictures]},
            num_inference_steps=num_inference_steps,
        )
        return [old if new is None else new for old, new in zip(pictures, drawn)]


@dataclasses.dataclass(frozen=True)
class Instruct:
    """Let the model draw each photo anew, and measure what it changed outside of the region on the way."""

    recipe: Recipe
    model: Instructed
    words: InstructConfig

    def __call__(self, drafts: Sequence[Draft]) -> list[Draft]:
        boxes = [letterbox(draft.mask, self.model.image_size) for draft in drafts]
        photos = [box.image(draft.photo) for box, draft in zip(boxes, drafts)]
        squares = self.model.draw(
            photos,
            [self.instruction(draft.job) for draft in drafts],
            [draft.seed for draft in drafts],
            guidance_scale=self.recipe.guidance_scale,
            num_inference_steps=self.recipe.num_inference_steps,
        )
        made = []
        for draft, box, photo, square in zip(drafts, boxes, photos, squares):
            outside = box.mask(np.ones_like(draft.region)) & ~box.mask(draft.region)
            measured = {"changed_outside": _mean_change(photo, square, outside)}
            made.append(dataclasses.replace(draft, picture=box.back(square), measured=measured))
        return made

    def instruction(self, job: EditJob) -> str:
        """Return what the model is told for a job."""
        return self.told(job.wording)

    def told(self, wording: Wording) -> str:
        """Return what the model is told for a class and a value."""
        spec = wording.spec
        return filled(
            self.words.sentences[wording.attribute],
            wording.class_name,
            self.words.domain_word,
            spec.name,
            spec.phrase,
            spec.description,
        )


def _mean_change(before: np.ndarray, after: np.ndarray, where: np.ndarray) -> float | None:
    """Return the mean difference in CIELAB, as a manifest shows it; None where there is no pixel."""
    return round(float(difference(before, after)[where].mean()), 4) if where.any() else None
