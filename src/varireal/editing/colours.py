"""Which colours an object does not have yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from varireal.editing.pixels import difference
from varireal.editing.priors import surface_prior

if TYPE_CHECKING:
    from varireal.prompts import AttributeSpec

SAMPLE = 4096  # pixels of an object that are looked at: its mean colours need no more


def change_by(photo: np.ndarray, mask: np.ndarray, rgb: Sequence[int]) -> float:
    """Return the mean difference that a colour would make to the object of a photo, painted whole with its shading."""
    pixels = photo[mask]
    pixels = pixels[:: -(-len(pixels) // SAMPLE)][None]
    whole = np.ones(pixels.shape[:2], bool)
    painted = surface_prior(pixels, whole, np.array(rgb, np.float32), 1.0, keep_shading=True, softness=0)
    return float(difference(pixels, painted).mean())


def changing(photo: np.ndarray, mask: np.ndarray, specs: Sequence[AttributeSpec], least: float) -> list[AttributeSpec]:
    """Return the colours that would change the object by ``least`` or more, or else the one that changes it most."""
    changes = [change_by(photo, mask, spec.rgb or (0, 0, 0)) for spec in specs]
    found = [spec for spec, change in zip(specs, changes) if change >= least]
    return found or [specs[int(np.argmax(changes))]]
