"""Settings and inputs of the refining network in small."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from tests.editing.tiny_pipelines import SIDE

from varireal.config import EditConfig, InpaintConfig, PriorConfig, Recipe, RefineConfig
from varireal.prompts.templates import Sentence

SETTINGS = {
    "guidance_scale": 2.0,
    "num_inference_steps": 2,
    "ip_adapter_scale": 0.6,
    "controlnet_conditioning_scale": 0.8,
}


def section(refiners: dict[bool, dict[str, Any]], xl: bool = True, **changes: Any) -> RefineConfig:
    """The section, with parts of `ip_adapter` and `controlnet` changed one by one."""
    found = dict(refiners[xl])
    for key, value in changes.items():
        found[key] = {**found[key], **value} if isinstance(found.get(key), dict) else value
    return RefineConfig(**found)


def inputs(count: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    draw = lambda: [rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8) for _ in range(count)]  # noqa: E731
    return {
        "pictures": draw(),
        "edges": [rng.random((SIDE, SIDE)) < 0.2 for _ in range(count)],
        "examples": draw(),
        "sentences": [Sentence(f"a photo of a {colour} jet") for colour in ("red", "blue", "lime")[:count]],
        "seeds": [2**62 + k for k in range(count)],
    }


def edit_config(refine: RefineConfig, recipe: Recipe, inpaint: Path, attribute: str = "color") -> EditConfig:
    return EditConfig(
        method="diffusion", prior=PriorConfig(source="pictures"), refine=refine,
        inpaint=InpaintConfig(checkpoint=str(inpaint), batch_size=2), recipes={attribute: {"feasible": recipe}},
    )  # fmt: skip
