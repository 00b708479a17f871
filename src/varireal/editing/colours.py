"""Which colours an object does not have yet, and which would change it equally."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from varireal.editing.pixels import difference
from varireal.editing.priors import surface_prior

if TYPE_CHECKING:
    from varireal.prompts import AttributeSpec

STRONG = 10.0  # distance from which a colour is another one at a glance
FAR = 1e6  # more than any two colours are apart
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


def alike(
    photo: np.ndarray,
    mask: np.ndarray,
    first: Sequence[AttributeSpec],
    second: Sequence[AttributeSpec],
    within: float,
    random: np.random.Generator,
) -> list[tuple[AttributeSpec, AttributeSpec]]:
    """Return pairs of one colour of each list that would change the object equally, to ``within``, in a random order.

    Each colour is in one pair at most, and changes the object by ``STRONG`` or more. Where there is no such pair,
    the one that is least uneven is returned, of those that change enough if there are any.
    """
    one, other = (
        np.array([change_by(photo, mask, spec.rgb or (0, 0, 0)) for spec in specs]) for specs in (first, second)
    )
    gap, weaker = np.abs(one[:, None] - other), np.minimum(one[:, None], other)
    fitting = np.argwhere((gap <= within) & (weaker >= STRONG))
    pairs: list[tuple[int, int]] = []
    for row, column in random.permutation(fitting):
        if all(row != taken and column != also for taken, also in pairs):
            pairs.append((int(row), int(column)))
    if not pairs:
        row, column = np.unravel_index(np.argmin(gap + np.where(weaker < STRONG, FAR, 0)), gap.shape)
        pairs = [(int(row), int(column))]
    return [(first[row], second[column]) for row, column in pairs]
