"""Families of diffusion models behind ``edit.inpaint``: each knows its pipelines' names, and what they cannot."""

from __future__ import annotations

from varireal.editing.families.base import Abilities, Family, Prompts
from varireal.editing.families.sd import StableDiffusion

FAMILIES: dict[str, Family] = {family.name: family for family in (StableDiffusion(),)}

__all__ = ["FAMILIES", "Abilities", "Family", "Prompts"]
