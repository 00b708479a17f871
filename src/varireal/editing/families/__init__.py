"""Families of diffusion models behind ``edit.inpaint``: each knows its pipelines' names, and what they cannot."""

from __future__ import annotations

from varireal.editing.families.base import INPAINT, Abilities, Family, Prompts
from varireal.editing.families.sd import StableDiffusion
from varireal.editing.families.z_image import ZImage

FAMILIES: dict[str, Family] = {family.name: family for family in (StableDiffusion(), ZImage())}

__all__ = ["FAMILIES", "INPAINT", "Abilities", "Family", "Prompts"]
