"""Stable Diffusion 1.5, 2 and XL: a UNet led by CLIP's text encoders, whose embeddings compel can weigh."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from varireal.editing.embeddings import Embedder
from varireal.editing.families.base import INSTRUCT, Abilities, Prompts

if TYPE_CHECKING:
    import torch


class StableDiffusion:
    """Works with every pipeline of these three that diffusers' auto classes know."""

    name = "sd"
    abilities = Abilities("Stable Diffusion 1.5, 2 and XL", emphasis=True)
    classes = frozenset({
        "StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline", "StableDiffusionInpaintPipeline",
        "StableDiffusionXLPipeline", "StableDiffusionXLImg2ImgPipeline", "StableDiffusionXLInpaintPipeline",
    })  # fmt: skip
    any_class = True  # diffusers' auto classes find the one for the task
    network = "unet"
    compiled: tuple[str, ...] = ("unet", "controlnet", "vae.encoder", "vae.decoder")
    encoders: tuple[str, ...] = ("text_encoder", "text_encoder_2")

    @property
    def identity(self) -> dict[str, object]:
        return {}  # as when there was no other family: finished edits are found again

    def pipeline_class(self, task: str, kind: str) -> str | None:
        return None if task == INSTRUCT else task

    def prompts(self, pipe: Any, device: torch.device) -> Prompts:
        return Embedder(pipe, device)

    def at_once(self, task: str) -> int | None:
        return None

    def takes_guidance(self, pipe: Any) -> bool:
        return True

    def guided(self, pipe: Any, guidance_scale: float) -> bool:
        """Tell whether a scale guides: none does up to 1, nor where the network takes the scale as an input."""
        return guidance_scale > 1 and pipe.unet.config.time_cond_proj_dim is None

    def own_size(self, pipe: Any) -> int:
        return int(pipe.unet.config.sample_size * pipe.vae_scale_factor)

    def settings(self, pipe: Any, size: int, guidance_scale: float) -> dict[str, Any]:
        return {"height": size, "width": size, "guidance_scale": guidance_scale}

    def tile(self, pipe: Any, side: int) -> None:
        pipe.vae.enable_tiling()
        pipe.vae.tile_sample_min_size = side
        pipe.vae.tile_latent_min_size = side // pipe.vae_scale_factor
