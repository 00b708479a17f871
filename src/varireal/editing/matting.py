"""Soft rims: which share of each pixel near the edge of a mask is the object, and in which colours."""

from __future__ import annotations

import dataclasses

import numpy as np

from varireal.editing.pixels import composite, dilate, inner_part, quantise

LEVELS = 255  # alpha is rounded to one of so many parts: solvers differ in the last bits from machine to machine


@dataclasses.dataclass(frozen=True)
class Matte:
    """Tells the object of a photo from its background, pixel by pixel."""

    alpha: np.ndarray  # share of the object, float32 (H, W) in 0..1; 1 well inside the mask and 0 well outside
    foreground: np.ndarray  # the object's own colours, uint8 (H, W, 3); the photo's where alpha is 1


def find_matte(photo: np.ndarray, mask: np.ndarray, rim: float) -> Matte:
    """Return the matte of a photo, uint8 (H, W, 3), by closed-form matting.

    Within ``rim`` pixels inside the edge of the mask, bool (H, W), and half as many outside, the photo's colours say
    what is object; the rest is as the mask says. Where the rim leaves no object or no background, all is.
    """
    inner, outer = inner_part(mask, rim), ~dilate(mask, rim / 2)
    if not inner.any() or not outer.any():
        return Matte(mask.astype(np.float32), photo)
    from pymatting.alpha.estimate_alpha_cf import estimate_alpha_cf
    from pymatting.foreground.estimate_foreground_ml import estimate_foreground_ml

    values = photo.astype(np.float64) / 255
    guess = np.where(inner, 1.0, np.where(outer, 0.0, 0.5))
    alpha = np.rint(estimate_alpha_cf(values, guess) * LEVELS) / LEVELS
    colours = quantise(np.asarray(estimate_foreground_ml(values, alpha)) * 255)
    return Matte(alpha.astype(np.float32), np.where((alpha == 1)[..., None], photo, colours))


def over(matte: Matte, picture: np.ndarray) -> np.ndarray:
    """Return the object before another picture, uint8 (H, W, 3), without the colours that were behind it."""
    return composite(matte.foreground, picture, 1 - matte.alpha)


def resurfaced(photo: np.ndarray, matte: Matte, surface: np.ndarray) -> np.ndarray:
    """Return the photo with the object's colours replaced by those of ``surface``, in each pixel by its share."""
    change = surface.astype(np.float32) - matte.foreground
    return composite(photo, quantise(photo + matte.alpha[..., None] * change), matte.alpha)
