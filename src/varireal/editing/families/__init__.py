"""Families of diffusion models behind ``edit.inpaint``: each knows its pipelines' names, and what they cannot."""

from __future__ import annotations

from varireal.editing.families.base import INPAINT, INSTRUCT, Abilities, Family, Prompts
from varireal.editing.families.flux import Flux
from varireal.editing.families.flux2 import Flux2
from varireal.editing.families.qwen_image import QwenImage
from varireal.editing.families.sd import StableDiffusion
from varireal.editing.families.z_image import ZImage

FAMILIES: dict[str, Family] = {
    family.name: family for family in (StableDiffusion(), Flux(), Flux2(), QwenImage(), ZImage())
}

__all__ = ["FAMILIES", "INPAINT", "INSTRUCT", "Abilities", "Family", "Prompts"]
