"""Pictures from inpainting and text-to-image checkpoints."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from varireal.config import MemoryConfig
from varireal.editing.families import INPAINT
from varireal.editing.families.choosing import choose_family, refuse_emphasis
from varireal.editing.model import SquareModel
from varireal.editing.pipelines import Pipeline
from varireal.errors import UserError
from varireal.prompts.templates import Sentence

if TYPE_CHECKING:
    from varireal.config import ComputeConfig, InpaintConfig, PriorConfig
    from varireal.prompts import AttributeSpec

_PLAIN = MemoryConfig()


class Inpainter(SquareModel):
    """Paints the masked part of pictures as a sentence says."""

    def __init__(self, config: InpaintConfig, compute: ComputeConfig, memory: MemoryConfig = _PLAIN) -> None:
        section = "edit.inpaint"
        family = choose_family(section, config)
        super().__init__(Pipeline(INPAINT, section, config, compute, memory, family), config.image_size)
        self._config = config

    @property
    def identity(self) -> dict[str, object]:
        return {**super().identity, **({} if self._config.emphasis else {"emphasis": False})}

    def expect(self, sentences: Sequence[Sentence]) -> None:
        super().expect(self._read(sentences))

    def _read(self, sentences: Sequence[Sentence]) -> Sequence[Sentence]:
        """Return the sentences as the model reads them: without emphasis, where the settings say so."""
        return sentences if self._config.emphasis else [Sentence(each.text) for each in sentences]

    def check(self, specs: Sequence[AttributeSpec]) -> None:
        """Check that the family reads all that values say.

        Raises:
            UserError: they are emphasised, which it does not know.
        """
        refuse_emphasis(self._pipeline.family, self._config, specs)

    def load(self, guidance_scale: float = 1.0) -> None:
        """Load the networks now, and let them paint a blank picture.

        Raises:
            UserError: they cannot be loaded, cannot paint, or cannot be guided by that much.
        """
        self._pipeline.check_guidance(guidance_scale)
        from PIL import Image

        side = self._pipeline.blank_side(self.image_size)
        grey, white = (Image.new(mode, (side, side), level) for mode, level in (("RGB", "grey"), ("L", 255)))
        self._pipeline.draw_blank(side, {"image": [grey], "mask_image": [white]}, strength=1.0)

    def paint(
        self,
        pictures: Sequence[np.ndarray],
        masks: Sequence[np.ndarray],
        sentences: Sequence[Sentence],
        seeds: Sequence[int],
        *,
        strength: float,
        guidance_scale: float,
        num_inference_steps: int,
    ) -> list[np.ndarray]:
        """Return the pictures, uint8 (S, S, 3), painted anew where the masks, bool (S, S), are true.

        The other pixels come back through the model's autoencoder: close to the input, but not equal to it. A picture
        that the checkpoint's safety checker refuses comes back as it was.
        """
        from PIL import Image

        painted = self._pipeline.run(
            self._read(sentences),
            seeds,
            guidance_scale,
            self.image_size,
            {
                "image": [Image.fromarray(picture) for picture in pictures],
                "mask_image": [Image.fromarray(mask.astype(np.uint8) * 255) for mask in masks],
            },
            strength=strength,
            num_inference_steps=num_inference_steps,
        )
        return [old if new is None else new for old, new in zip(pictures, painted)]


class PictureMaker:
    """Makes pictures from sentences alone."""

    def __init__(
        self,
        config: PriorConfig,
        compute: ComputeConfig,
        batch_size: int,
        num_inference_steps: int | None = None,
        memory: MemoryConfig = _PLAIN,
        negative: str = "",
    ) -> None:
        """Check that the checkpoint is there.

        Args:
            num_inference_steps: in place of the configured ones, if not None.
            negative: what the pictures are led away from.

        Raises:
            UserError: a folder, file or its safetensors weights are missing.
        """
        self._pipeline = Pipeline("AutoPipelineForText2Image", "edit.prior", config, compute, memory)
        self._config = config
        self._steps = num_inference_steps or config.num_inference_steps
        self._batch_size, self._negative = batch_size, negative

    @functools.cached_property
    def identity(self) -> dict[str, object]:
        """Return what decides the pictures besides sentence and seed, as JSON values."""
        settings = self._config.model_dump(include={"guidance_scale", "image_size"})
        own = {"num_inference_steps": self._steps, "batch_size": self._batch_size, "negative": self._negative}
        return {**self._pipeline.identity, **settings, **own}

    def make(self, sentences: Sequence[Sentence], seeds: Sequence[int]) -> list[np.ndarray]:
        """Return a square uint8 picture per sentence.

        Raises:
            UserError: the checkpoint's safety checker refuses one.
        """
        size = self._config.image_size or self._pipeline.own_size
        pictures: list[np.ndarray] = []
        for start in range(0, len(sentences), self._batch_size):
            part = slice(start, start + self._batch_size)
            made = self._pipeline.run(
                sentences[part],
                seeds[part],
                self._config.guidance_scale,
                size,
                {},
                self._negative,
                num_inference_steps=self._steps,
            )
            for sentence, picture in zip(sentences[part], made):
                if picture is None:
                    raise UserError(
                        f"the safety checker of edit.prior.checkpoint refuses {sentence.text!r}; reword the bank"
                    )
                pictures.append(picture)
        return pictures

    def load(self) -> None:
        """Load the networks, unless they are loaded.

        Raises:
            UserError: they cannot be loaded.
        """
        _ = self._pipeline.pipe

    def release(self) -> None:
        """Give the networks' memory back."""
        self._pipeline.release()
