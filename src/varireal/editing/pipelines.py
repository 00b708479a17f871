"""Diffusion pipelines: loading them and running them in batches."""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from varireal.editing.families import FAMILIES, Family, Prompts
from varireal.editing.networks import (
    add_lora,
    check_memory,
    embed_ahead,
    load_pipeline,
    place,
    refuse_what_is_no_number,
    restoring,
    set_scheduler,
)
from varireal.editing.pixels import quantise
from varireal.errors import UserError
from varireal.networks import blank
from varireal.networks.blank import answering
from varireal.networks.checkpoints import check_checkpoint, check_file, check_variant, checkpoint_identity
from varireal.networks.memory import Fitting
from varireal.prompts.templates import Sentence

if TYPE_CHECKING:
    import torch

    from varireal.config import ComputeConfig, MemoryConfig, PipelineConfig
    from varireal.config.data import NetworkConfig

logger = logging.getLogger(__name__)

BLANK = Sentence("a photo")  # what networks are tried out with
REMEDY = "set edit.memory.offload to true, edit.memory.vae_tile to 512, or take smaller networks (models=sd15)"


def part_identity(part: NetworkConfig) -> dict[str, object] | None:
    """Return what decides what a network beside the pipeline's own computes, or None where there is none."""
    if not part.checkpoint:
        return None
    return {**part.model_dump(mode="json"), "weights": checkpoint_identity(part.checkpoint, part.revision)}


class _Loaded(NamedTuple):
    """Holds networks in memory."""

    pipe: Any
    prompts: Prompts
    alone: bool  # without text encoders


class Pipeline:
    """Runs a pipeline of diffusers, loaded at first use, with the embeddings of the sentences it has met.

    What differs between families of models stands in :mod:`varireal.editing.families`.
    """

    def __init__(
        self,
        task: str,
        section: str,
        config: PipelineConfig,
        compute: ComputeConfig,
        memory: MemoryConfig,
        family: Family = FAMILIES["sd"],
    ) -> None:
        """Check that everything is there.

        Args:
            task: the name of diffusers' auto class for what it shall do.
            section: where params.yaml has the settings, such as ``edit.inpaint``.

        Raises:
            UserError: a folder, file or its safetensors weights are missing.
        """
        self._task, self._section, self._config = task, section, config
        self._compute, self._memory, self.family = compute, memory, family
        self._key, self._checkpoint = f"{section}.checkpoint", str(config.checkpoint)
        check_checkpoint(self._checkpoint, self._key, "model_index.json")
        check_variant(self._checkpoint, self._key, config.variant)
        if config.lora.checkpoint:
            key = f"{section}.lora.weight_name"
            check_file(config.lora.checkpoint, key, config.lora.subfolder, str(config.lora.weight_name))
        self._kept: dict[str, torch.Tensor] = {}  # embeddings that stay the same
        self._expected: dict[Sentence, None] = {}  # sentences to come, if they are known
        self._fitting = Fitting(section, REMEDY)

    @functools.cached_property
    def identity(self) -> dict[str, object]:
        """Return what decides the pictures besides a call's own settings: weights, scheduler, dtype, kind of device.

        Offloading is not in it: it moves networks without changing what they compute.
        """
        from varireal.compute.devices import device_type

        config = self._config
        return {
            "checkpoint": self._checkpoint,
            "weights": checkpoint_identity(self._checkpoint, config.revision),
            "variant": config.variant,
            "scheduler": config.scheduler,
            "timestep_spacing": config.timestep_spacing,
            "lora": part_identity(config.lora),
            "memory": self._memory.model_dump(exclude={"offload"}),
            "dtype": self._compute.dtype,
            "device": device_type(self._compute),
            **self.family.identity,
        }

    @functools.cached_property
    def device(self) -> torch.device:
        """Return where the networks run."""
        from varireal.compute.devices import resolve_device

        return resolve_device(self._compute)

    def expect(self, sentences: Sequence[Sentence]) -> None:
        """Take sentences to come: networks that are loaded afterwards embed them first, and do without encoders then.

        A sentence that nobody expected loads all networks once more.
        """
        self._expected.update(dict.fromkeys(sentences))

    @property
    def pipe(self) -> Any:
        """Return the loaded pipeline, ready to run.

        Raises:
            UserError: a checkpoint cannot be loaded from safetensors, or belongs to another family; or the memory
                settings ask for what this machine lacks.
        """
        return self._loaded.pipe

    @functools.cached_property
    def _loaded(self) -> _Loaded:
        from varireal.compute.devices import resolve_dtype

        check_memory(self.device, self._memory)
        logger.info("loading %s", self._checkpoint)
        dtype = resolve_dtype(self._compute)
        pipe = load_pipeline(self.family, self._task, self._section, self._config, dtype, self._parts(dtype))
        set_scheduler(pipe, self._section, self._config)
        add_lora(pipe, self.family, self._section, self._config.lora)
        self._complete(pipe)
        refuse_what_is_no_number(pipe, self.family, self._key, self._checkpoint)
        prompts, parts = self.family.prompts(pipe, self.device), (self._section, self.device)
        expected = [BLANK, *self._expected] if self._expected else []
        alone = bool(expected) and embed_ahead(pipe, self.family, prompts, *parts, expected)
        place(pipe, self.family, *parts, self._memory)
        return _Loaded(pipe, prompts, alone)

    def _parts(self, dtype: torch.dtype) -> dict[str, Any]:
        """Return the networks that do not come from the checkpoint, by their names in the pipeline."""
        return {}

    def _complete(self, pipe: Any) -> None:
        """Add to the loaded pipeline what its own loading leaves out."""

    @property
    def _prompts(self) -> Prompts:
        return self._loaded.prompts

    def prepare(self, sentences: Sequence[Sentence], negative: str = "") -> None:
        """Load all networks once more if the text encoders are gone and a sentence came that nobody expected.

        Raises:
            UserError: they cannot be loaded.
        """
        if self._loaded.alone and not self._prompts.has(sentences, negative):
            logger.info("loading %s again, for a sentence that was not expected", self._checkpoint)
            self._expected.clear()
            self.release()

    def release(self) -> None:
        """Give the networks' memory back; the next picture loads them again."""
        self.__dict__.pop("_loaded", None)
        self._kept.clear()

    def guided(self, guidance_scale: float) -> bool:
        """Return whether pictures are led away from another sentence, which asks the network twice a step."""
        return self.family.guided(self.pipe, guidance_scale)

    @property
    def own_size(self) -> int:
        """Return the side of the pictures the checkpoint was trained for, in pixels."""
        return self.family.own_size(self.pipe)

    def check_guidance(self, guidance_scale: float) -> None:
        """Load the networks now, and check that they can be guided.

        Raises:
            UserError: they cannot be loaded, or were distilled to do without guidance, of which there is some.
        """
        if guidance_scale > 1 and not self.family.takes_guidance(self.pipe):
            raise UserError(
                f"{self._key} = {self._checkpoint!r} was distilled to do without guidance, but guidance_scale is "
                f"{guidance_scale:g}; set {self._section}.guidance_scale to 1"
            )

    def blank_side(self, size: int) -> int:
        """Return the side of a blank picture to try out the networks with: small, but for networks to be compiled."""
        return size if self._memory.compile or self.family.abilities.only else min(size, blank.SIDE)

    def draw_blank(self, size: int, pictures: Mapping[str, Sequence[Any]], **settings: Any) -> None:
        """Load the networks now, and let them draw a picture in a few steps.

        Raises:
            UserError: they cannot be loaded, or cannot draw.
        """
        _ = self.pipe
        with answering(self._key, self._checkpoint, "model_index.json and the parts that edit names beside it"):
            steps = {"num_inference_steps": blank.STEPS, **settings}
            self.run([BLANK], [0], 2.0, size, pictures, **steps)

    def run(
        self,
        sentences: Sequence[Sentence],
        seeds: Sequence[int],
        guidance_scale: float,
        size: int,
        pictures: Mapping[str, Sequence[Any]],
        negative: str = "",
        **settings: Any,
    ) -> list[np.ndarray | None]:
        """Return a picture per sentence, uint8 (size, size, 3); None where the checkpoint's own safety checker (Stable
        Diffusion 1.5 has one) blacked it out.

        All go through the networks as one batch, unless sentences are of different numbers of pieces
        (:mod:`varireal.editing.embeddings`) or the device's memory is too small (:mod:`varireal.networks.memory`).
        Each picture has its own generator on the CPU, so that its noise depends on its seed alone, not on the device
        nor on its place in the batch.

        Args:
            pictures: inputs of the pipeline that hold one value a picture, by name.
            negative: what guidance leads away from; nothing: from no sentence.
            settings: its inputs that hold for all pictures.

        Raises:
            UserError: the pipeline refuses the settings, or the memory does not hold a single picture.
        """
        if size % (multiple := self.family.abilities.multiple):
            raise UserError(f"image_size = {size} beside {self._key}: pipelines need a multiple of {multiple}")
        self.prepare(sentences, negative)
        guided = self.guided(guidance_scale)
        settings |= self.family.settings(self.pipe, size, guidance_scale)

        def draw(places: Sequence[int]) -> list[np.ndarray | None]:
            inputs = {name: [values[place] for place in places] for name, values in pictures.items()}
            return self._draw(
                [seeds[place] for place in places],
                self._prompts.arguments([sentences[place] for place in places], guided, negative),
                {**self._inputs(inputs, guided), **settings},
            )

        drawn: list[np.ndarray | None] = [None] * len(sentences)
        for group in self._groups(sentences):
            for index, picture in zip(group, self._fitting.run(draw, group, f"pictures of {size} pixels")):
                drawn[index] = picture
        return drawn

    def _groups(self, sentences: Sequence[Sentence]) -> list[list[int]]:
        """Return the places of sentences that can share a batch, in order."""
        groups: dict[int, list[int]] = {}
        for index, sentence in enumerate(sentences):
            groups.setdefault(self._prompts.pieces(sentence), []).append(index)
        most = self.family.at_once(self._task) or max(1, len(sentences))
        together = [groups[pieces] for pieces in sorted(groups)]
        return [group[start : start + most] for group in together for start in range(0, len(group), most)]

    def _inputs(self, pictures: Mapping[str, Sequence[Any]], guided: bool) -> dict[str, Any]:
        """Return the pipeline's inputs for the pictures of a batch."""
        return dict(pictures)

    def _draw(
        self, seeds: Sequence[int], prompts: Mapping[str, Any], inputs: Mapping[str, Any]
    ) -> list[np.ndarray | None]:
        import torch

        with restoring(self.pipe):
            output = self.pipe(
                **prompts,
                **inputs,
                generator=[torch.Generator("cpu").manual_seed(seed) for seed in seeds],
                output_type="np",
            )
        refused = getattr(output, "nsfw_content_detected", None) or [False] * len(seeds)
        return [None if no else quantise(picture * 255.0) for picture, no in zip(output.images, refused)]
