"""The refining step's network: a Stable Diffusion base led by edges (ControlNet) and by a picture (IP-Adapter)."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from varireal.config import MemoryConfig
from varireal.editing.model import SquareModel
from varireal.editing.networks import loading
from varireal.editing.pipelines import Pipeline, part_identity
from varireal.errors import UserError
from varireal.networks.checkpoints import check_checkpoint, check_file

if TYPE_CHECKING:
    import torch

    from varireal.config import ComputeConfig, IpAdapterConfig, RefineConfig
    from varireal.prompts.templates import Sentence

_PLAIN = MemoryConfig()


def image_encoder_path(adapter: IpAdapterConfig) -> str:
    """Return the image encoder's folder within the adapter's repository.

    By diffusers' rule a plain name lies in the adapter's own subfolder, a path with slashes is taken from the root.
    """
    folder = adapter.image_encoder_folder
    return folder if "/" in folder else str(PurePosixPath(adapter.subfolder or "", folder))


class RefinePipeline(Pipeline):
    """Runs a ControlNet pipeline with an IP-Adapter in it; all parts are checked before anything is loaded."""

    _config: RefineConfig

    def __init__(self, config: RefineConfig, compute: ComputeConfig, memory: MemoryConfig, from_noise: bool) -> None:
        task = "AutoPipelineForText2Image" if from_noise else "AutoPipelineForImage2Image"
        key = "edit.refine"
        super().__init__(task, key, config, compute, memory)
        for name, part in (("controlnet", config.controlnet), ("vae", config.vae)):
            if part.checkpoint:
                check_checkpoint(part.checkpoint, f"{key}.{name}.checkpoint", "config.json", part.subfolder)
        adapter = config.ip_adapter
        check_file(
            str(adapter.checkpoint), f"{key}.ip_adapter.weight_name", adapter.subfolder, str(adapter.weight_name)
        )
        check_checkpoint(
            str(adapter.checkpoint),
            f"{key}.ip_adapter.image_encoder_folder",
            "config.json",
            image_encoder_path(adapter),
        )

    @functools.cached_property
    def identity(self) -> dict[str, object]:
        parts = ("controlnet", "vae", "ip_adapter")
        return {**super().identity, **{name: part_identity(getattr(self._config, name)) for name in parts}}

    def _parts(self, dtype: torch.dtype) -> dict[str, Any]:
        from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
        from diffusers.models.controlnets.controlnet import ControlNetModel
        from transformers import CLIPVisionModelWithProjection

        config, adapter = self._config, self._config.ip_adapter
        encoder = {"revision": adapter.revision, "subfolder": image_encoder_path(adapter)}
        parts = {
            "controlnet": _load(ControlNetModel, "controlnet", config.controlnet.model_dump(), dtype),
            # not left to load_ip_adapter, which ignores the revision here and would take pickled weights
            "image_encoder": _load(
                CLIPVisionModelWithProjection, "ip_adapter", {"checkpoint": adapter.checkpoint, **encoder}, dtype
            ),
        }
        if config.vae.checkpoint:
            parts["vae"] = _load(AutoencoderKL, "vae", config.vae.model_dump(), dtype)
        return parts

    def _complete(self, pipe: Any) -> None:
        """Put the IP-Adapter into the pipeline.

        Raises:
            UserError: a part belongs to another family than the base.
        """
        adapter = self._config.ip_adapter
        widths = {part: getattr(pipe, part).config.cross_attention_dim for part in ("unet", "controlnet")}
        if widths["unet"] != widths["controlnet"]:
            raise UserError(
                f"edit.refine.controlnet.checkpoint = {self._config.controlnet.checkpoint!r} reads sentences of width "
                f"{widths['controlnet']}, the base {self._config.checkpoint!r} of width {widths['unet']}; both must be "
                "of one family, Stable Diffusion 1.5 or XL"
            )
        what = "an IP-Adapter of the base's family (edit.refine.checkpoint)"
        with loading("edit.refine.ip_adapter.checkpoint", str(adapter.checkpoint), what):
            pipe.load_ip_adapter(
                adapter.checkpoint,
                subfolder=adapter.subfolder or "",
                weight_name=adapter.weight_name,
                image_encoder_folder=None,  # it is there already
                revision=adapter.revision,
            )
        # the pipelines' own repeats one picture's embeddings for the whole batch; here each has its own
        pipe.prepare_ip_adapter_image_embeds = lambda image, embeds, *_: embeds

    def _inputs(self, pictures: Mapping[str, Sequence[Any]], guided: bool) -> dict[str, Any]:
        """Return the pipeline's inputs, with the embeddings of ``examples``, the image prompts, in their place."""
        inputs = dict(pictures)
        return {"ip_adapter_image_embeds": self.image_embeddings(inputs.pop("examples"), guided), **inputs}

    def image_embeddings(self, pictures: Sequence[np.ndarray], guided: bool) -> list[torch.Tensor]:
        """Return the pipeline's ``ip_adapter_image_embeds`` for a batch, one image prompt a picture.

        The one tensor is (B, 1, ...), or (2 B, 1, ...) with guidance, the embeddings of no image first.
        """
        import torch

        with torch.inference_mode():
            pixels = self.pipe.feature_extractor(images=list(pictures), return_tensors="pt").pixel_values
            embeddings = self._look(pixels)
            if guided:
                embeddings = torch.cat([self._no_image(pixels[:1]).expand_as(embeddings), embeddings])
        return [embeddings[:, None]]

    def _look(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return what the adapter's projection reads of pictures, (B, 3, S, S) as the encoder wants them: hidden
        states (IP-Adapter-Plus), or one embedding each."""
        encoder = self.pipe.image_encoder
        pixels = pixels.to(self.device, encoder.dtype)
        if self._reads_hidden_states:
            return encoder(pixels, output_hidden_states=True).hidden_states[-2]
        return encoder(pixels).image_embeds

    @property
    def _reads_hidden_states(self) -> bool:
        from diffusers.models.embeddings import ImageProjection

        [projection] = self.pipe.unet.encoder_hid_proj.image_projection_layers
        return not isinstance(projection, ImageProjection)

    def _no_image(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the embedding of no image (1, ...), which guidance leads away from; made once."""
        import torch

        if "no image" not in self._kept:
            black = self._look(torch.zeros_like(pixels))
            self._kept["no image"] = black if self._reads_hidden_states else torch.zeros_like(black)
        return self._kept["no image"]


class Refiner(SquareModel):
    """Makes pictures anew, led by edges and by a picture of the object."""

    def __init__(
        self, config: RefineConfig, compute: ComputeConfig, strength: float, memory: MemoryConfig = _PLAIN
    ) -> None:
        """Check that all parts are there.

        Args:
            strength: 1 draws from noise; less starts from the picture, of which that much is drawn anew.

        Raises:
            UserError: a folder, file or its safetensors weights are missing.
        """
        super().__init__(RefinePipeline(config, compute, memory, from_noise=strength == 1), config.image_size)
        self._strength = strength

    def load(self) -> None:
        """Load the networks now, and let them draw a blank picture.

        Raises:
            UserError: they cannot be loaded, or cannot draw.
        """
        from PIL import Image

        side = self._pipeline.blank_side(self.image_size)
        black, grey = (Image.new("RGB", (side, side), level) for level in ("black", "grey"))
        inputs: dict[str, Sequence[Any]] = {"examples": [np.array(grey)], "image": [black]}
        settings: dict[str, Any] = {}
        if self._strength < 1:
            inputs |= {"image": [grey], "control_image": [black]}
            settings = {"strength": 1.0}
        self._pipeline.draw_blank(side, inputs, **settings)

    def refine(
        self,
        pictures: Sequence[np.ndarray],
        edges: Sequence[np.ndarray],
        examples: Sequence[np.ndarray],
        sentences: Sequence[Sentence],
        seeds: Sequence[int],
        *,
        guidance_scale: float,
        num_inference_steps: int,
        ip_adapter_scale: float,
        controlnet_conditioning_scale: float,
    ) -> list[np.ndarray]:
        """Return a new picture for each, uint8 (S, S, 3).

        A picture that the checkpoint's safety checker refuses comes back as it was.

        Args:
            pictures: uint8 (S, S, 3), from which drawing starts if ``strength`` is below 1.
            edges: bool (S, S), where the new pictures shall have edges.
            examples: the image prompts, uint8 (S, S, 3).
        """
        from PIL import Image

        lines = [Image.fromarray(np.repeat(edge[..., None] * np.uint8(255), 3, axis=2)) for edge in edges]
        inputs: dict[str, Sequence[Any]] = {"examples": examples, "image": lines}
        settings: dict[str, Any] = {}
        if self._strength < 1:
            inputs |= {"image": [Image.fromarray(picture) for picture in pictures], "control_image": lines}
            settings = {"strength": self._strength}
        self._pipeline.prepare(sentences)  # before anything is set that loading would undo
        self._pipeline.pipe.set_ip_adapter_scale(ip_adapter_scale)
        refined = self._pipeline.run(
            sentences,
            seeds,
            guidance_scale,
            self.image_size,
            inputs,
            **settings,
            num_inference_steps=num_inference_steps,
            controlnet_conditioning_scale=controlnet_conditioning_scale,
        )
        return [old if new is None else new for old, new in zip(pictures, refined)]


def _load(kind: Any, part: str, source: dict[str, Any], dtype: torch.dtype) -> Any:
    """Load one network from safetensors."""
    named = {name: value for name, value in source.items() if name != "checkpoint" and value}
    with loading(f"edit.refine.{part}.checkpoint", source["checkpoint"], f"a {kind.__name__}"):
        return kind.from_pretrained(source["checkpoint"], use_safetensors=True, dtype=dtype, **named)
