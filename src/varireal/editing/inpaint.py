"""Diffusion pipelines: the one module that loads diffusers, and only when the first picture is asked for."""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from varireal.checkpoints import check_checkpoint, checkpoint_identity
from varireal.editing.pixels import quantise
from varireal.errors import UserError

if TYPE_CHECKING:
    import torch

    from varireal.config import ComputeConfig, InpaintConfig, PriorConfig

logger = logging.getLogger(__name__)

_EMBEDDINGS = ("prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds")


class Pipeline:
    """A pipeline of diffusers, loaded at first use, with the embeddings of the sentences it has met.

    Works with every pipeline of the Stable Diffusion 1.5, 2 and XL families that diffusers' auto classes know.
    """

    def __init__(
        self, task: str, key: str, checkpoint: str, revision: str | None, variant: str | None, compute: ComputeConfig
    ) -> None:
        check_checkpoint(checkpoint, key, "model_index.json")
        self._task, self._key, self._compute = task, key, compute
        self._source = {"revision": revision, "variant": variant}
        self._checkpoint = checkpoint
        self._encoded: dict[str, dict[str, torch.Tensor]] = {}

    @functools.cached_property
    def identity(self) -> dict[str, object]:
        """Return what decides the pictures besides a call's own settings: weights, dtype and kind of device."""
        from varireal.devices import resolve_device

        weights = checkpoint_identity(self._checkpoint, self._source["revision"])
        device = resolve_device(self._compute).type
        return {
            "checkpoint": self._checkpoint,
            "weights": weights,
            "variant": self._source["variant"],
            "dtype": self._compute.dtype,
            "device": device,
        }

    @functools.cached_property
    def pipe(self) -> Any:
        """Return the loaded pipeline on its device.

        Raises:
            UserError: the checkpoint cannot be loaded from safetensors, or belongs to another family.
        """
        import diffusers
        from diffusers.utils import logging as diffusers_logging

        from varireal.devices import resolve_device, resolve_dtype

        logger.info("loading %s", self._checkpoint)
        diffusers_logging.disable_progress_bar()
        try:
            pipe = getattr(diffusers, self._task).from_pretrained(
                self._checkpoint, use_safetensors=True, dtype=resolve_dtype(self._compute), **self._source
            )
        except (OSError, ValueError, KeyError, RuntimeError, json.JSONDecodeError) as error:
            raise UserError(
                f"{self._key} = {self._checkpoint!r} cannot be loaded ({' '.join(str(error).split())[:300]}); it must "
                "be a folder or hub id of a diffusers pipeline with .safetensors weights"
            ) from error
        if not hasattr(pipe, "encode_prompt") or not hasattr(pipe, "unet"):
            raise UserError(
                f"{self._key} = {self._checkpoint!r} is a {type(pipe).__name__}; Stable Diffusion 1.5, 2 and XL work"
            )
        if getattr(pipe, "watermark", None) is not None:
            pipe.watermark = None  # SDXL hides one in every picture where the package for it is installed
        pipe.set_progress_bar_config(disable=True)
        return pipe.to(resolve_device(self._compute))

    def release(self) -> None:
        """Give the networks' memory back; the next picture loads them again."""
        self.__dict__.pop("pipe", None)
        self.__dict__.pop("_negative", None)
        self._encoded.clear()

    @property
    def own_size(self) -> int:
        """Return the side of the pictures the checkpoint was trained for, in pixels."""
        return int(self.pipe.unet.config.sample_size * self.pipe.vae_scale_factor)

    def run(
        self, sentences: Sequence[str], seeds: Sequence[int], guidance_scale: float, size: int, **inputs: Any
    ) -> list[np.ndarray | None]:
        """Return a picture per sentence, uint8 (size, size, 3), as one batch; None where the checkpoint's own safety
        checker (Stable Diffusion 1.5 has one) blacked it out.

        Each picture has its own generator on the CPU, so that its noise depends on its seed alone, not on the device
        nor on its place in the batch.

        Raises:
            UserError: the pipeline refuses the settings or runs out of memory.
        """
        import torch

        if size % 8:
            raise UserError(f"image_size = {size} beside {self._key}: pipelines need a multiple of 8")
        generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
        try:
            output = self.pipe(
                **self._embeddings(sentences, guided=guidance_scale > 1),
                **inputs,
                height=size,
                width=size,
                guidance_scale=guidance_scale,
                generator=generators,
                output_type="np",
            )
        except torch.OutOfMemoryError as error:
            raise UserError(
                f"{self._key}: the device's memory does not hold a batch of {len(seeds)} pictures of {size} pixels; "
                "lower edit.inpaint.batch_size"
            ) from error
        refused = getattr(output, "nsfw_content_detected", None) or [False] * len(seeds)
        return [None if no else quantise(picture * 255.0) for picture, no in zip(output.images, refused)]

    def _embeddings(self, sentences: Sequence[str], guided: bool) -> dict[str, torch.Tensor]:
        """Return the pipeline's embedding arguments for a batch; each distinct sentence is encoded once."""
        import torch

        for sentence in sentences:
            if sentence not in self._encoded:
                self._encoded[sentence] = self._encode(sentence)
        rows = [self._encoded[sentence] for sentence in sentences]
        names = [name for name in rows[0] if guided or not name.startswith("negative_")]
        return {name: torch.cat([row[name] for row in rows]) for name in names}

    def _encode(self, sentence: str) -> dict[str, torch.Tensor]:
        encoded = dict(zip(_EMBEDDINGS, self._call_encoder(sentence, guided=False)))
        found = {name: value for name, value in encoded.items() if value is not None}
        return {**found, **self._negative}

    @functools.cached_property
    def _negative(self) -> dict[str, torch.Tensor]:
        """Return the embeddings of no sentence, which guidance leads away from."""
        encoded = zip(_EMBEDDINGS, self._call_encoder("", guided=True))
        return {name: value for name, value in encoded if name.startswith("negative_")}

    def _call_encoder(self, sentence: str, guided: bool) -> tuple[torch.Tensor | None, ...]:
        import torch

        with torch.inference_mode():
            return self.pipe.encode_prompt(
                prompt=sentence,
                device=self.pipe.device,
                num_images_per_prompt=1,
                do_classifier_free_guidance=guided,
            )


class Inpainter:
    """Paints the masked part of pictures as a sentence says."""

    def __init__(self, config: InpaintConfig, compute: ComputeConfig) -> None:
        self._pipeline = Pipeline(
            "AutoPipelineForInpainting",
            "edit.inpaint.checkpoint",
            str(config.checkpoint),
            config.revision,
            config.variant,
            compute,
        )
        self._size = config.image_size

    @property
    def identity(self) -> dict[str, object]:
        """Return what decides the pictures besides the settings of a call, as JSON values."""
        return {**self._pipeline.identity, "image_size": self._size}

    @property
    def image_size(self) -> int:
        """Return the side of the square that the model works on."""
        return self._size or self._pipeline.own_size

    def paint(
        self,
        pictures: Sequence[np.ndarray],
        masks: Sequence[np.ndarray],
        sentences: Sequence[str],
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
            sentences,
            seeds,
            guidance_scale,
            self.image_size,
            image=[Image.fromarray(picture) for picture in pictures],
            mask_image=[Image.fromarray(mask.astype(np.uint8) * 255) for mask in masks],
            strength=strength,
            num_inference_steps=num_inference_steps,
        )
        return [old if new is None else new for old, new in zip(pictures, painted)]


class PictureMaker:
    """Makes pictures from sentences alone."""

    def __init__(self, config: PriorConfig, compute: ComputeConfig, batch_size: int) -> None:
        self._pipeline = Pipeline(
            "AutoPipelineForText2Image",
            "edit.prior.checkpoint",
            str(config.checkpoint),
            config.revision,
            config.variant,
            compute,
        )
        self._config = config
        self._batch_size = batch_size

    @functools.cached_property
    def identity(self) -> dict[str, object]:
        """Return what decides the pictures besides sentence and seed, as JSON values."""
        settings = self._config.model_dump(include={"guidance_scale", "num_inference_steps", "image_size"})
        return {**self._pipeline.identity, **settings, "batch_size": self._batch_size}

    def make(self, sentences: Sequence[str], seeds: Sequence[int]) -> list[np.ndarray]:
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
                num_inference_steps=self._config.num_inference_steps,
            )
            for sentence, picture in zip(sentences[part], made):
                if picture is None:
                    raise UserError(
                        f"the safety checker of edit.prior.checkpoint refuses {sentence!r}; reword the bank"
                    )
                pictures.append(picture)
        return pictures

    def release(self) -> None:
        """Give the networks' memory back."""
        self._pipeline.release()
