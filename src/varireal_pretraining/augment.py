"""Random views of rendered pictures that CLIP, segmenter and judge train on; all randomness from the caller."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def random_affine(
    count: int,
    generator: torch.Generator,
    zoom: tuple[float, float] = (0.85, 1.15),
    shift: float = 0.1,
    turn_degrees: float = 0.0,
) -> Tensor:
    """Return sampling matrices (count, 2, 3) for :func:`warp`: flips in half of the draws, zooms, shifts, turns.

    Args:
        zoom: range of the factor by which the picture's content shrinks (above 1: reflected borders appear).
        shift: largest shift, as a share of half the picture's side.
        turn_degrees: largest turn to either side.
    """
    scale = zoom[0] + (zoom[1] - zoom[0]) * torch.rand(count, generator=generator)
    flip = torch.where(torch.rand(count, generator=generator) < 0.5, -1.0, 1.0)
    angle = torch.deg2rad((2 * torch.rand(count, generator=generator) - 1) * turn_degrees)
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0], theta[:, 0, 1] = scale * angle.cos() * flip, -scale * angle.sin()
    theta[:, 1, 0], theta[:, 1, 1] = scale * angle.sin() * flip, scale * angle.cos()
    theta[:, :, 2] = (2 * torch.rand(count, 2, generator=generator) - 1) * shift
    return theta


def warp(pictures: Tensor, theta: Tensor) -> Tensor:
    """Return float pictures (count, channels, height, width) seen through ``theta``; borders are reflected."""
    grid = F.affine_grid(theta, list(pictures.shape), align_corners=False)
    return F.grid_sample(pictures, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def paste(pictures: Tensor, masks: Tensor, places: Tensor, chosen: Tensor) -> Tensor:
    """Put the objects of the ``chosen`` pictures on other places.

    Args:
        pictures: (count, 3, height, width), any dtype.
        masks: bool (count, 1, height, width), true on the object.
        places: like ``pictures``.
        chosen: bool (count,).
    """
    return torch.where(chosen[:, None, None, None] & ~masks, places, pictures)


def channels_first(pictures: Tensor) -> Tensor:
    """Return uint8 pictures (count, height, width, 3) as float32 (count, 3, height, width) in 0..255."""
    return pictures.permute(0, 3, 1, 2).float()
