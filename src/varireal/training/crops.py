"""Random resized crops: where they lie in a picture, and the pixels that a batch of them needs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

ASPECT_LIMIT = math.log(4 / 3)  # of a random crop: 3:4 to 4:3, as in torchvision's RandomResizedCrop and the study


def random_crops(count: int, scale_min: float, flip: bool, aspects: torch.Tensor | None = None) -> torch.Tensor:
    """Return random resized crops as affine maps from output to input, float32 (count, 2, 3).

    The area is uniform in [scale_min, 1] of the picture. The logarithm of the aspect ratio is uniform between plus
    and minus :data:`ASPECT_LIMIT`, or what fits into the picture at that area; a picture too long for either gives the
    largest crop of the nearest ratio. The place is uniform, and half are mirrored if asked.

    Args:
        aspects: width over height of each picture, float32 (count,); None: they are squares.
    """
    area = scale_min + (1 - scale_min) * torch.rand(count)
    if aspects is None:
        high = (-area.log()).clamp(max=ASPECT_LIMIT)
        ratio = torch.exp(high * (2 * torch.rand(count) - 1))
        width, height = (area * ratio).sqrt(), (area / ratio).sqrt()
    else:
        shape = aspects.log()
        low = (shape + area.log()).clamp(-ASPECT_LIMIT, ASPECT_LIMIT)
        high = (shape - area.log()).clamp(-ASPECT_LIMIT, ASPECT_LIMIT)
        ratio = torch.exp(low + (high - low) * torch.rand(count)) / aspects
        height = (area / ratio).sqrt().clamp(max=1)
        width = (height * ratio).clamp(max=1)
        height = width / ratio
    places = 2 * torch.rand(count, 2) - 1
    mirror = torch.where(torch.rand(count) < 0.5, -1.0, 1.0) if flip else torch.ones(count)
    maps = torch.zeros(count, 2, 3)
    maps[:, 0, 0], maps[:, 0, 2] = width * mirror, places[:, 0] * (1 - width)
    maps[:, 1, 1], maps[:, 1, 2] = height, places[:, 1] * (1 - height)
    return maps


def sampling_grid(maps: torch.Tensor, side: int) -> torch.Tensor:
    """Return where each output pixel lies in the input, float32 (N, side, side, 2), for maps without rotation.

    The same as ``affine_grid(maps, ..., align_corners=False)``, whose matrix product took as long as the sampling.
    """
    centres = (2 * torch.arange(side, device=maps.device) + 1) / side - 1
    grid = maps.new_empty(len(maps), side, side, 2)
    grid[..., 0] = (maps[:, 0, 0, None] * centres + maps[:, 0, 2, None])[:, None, :]
    grid[..., 1] = (maps[:, 1, 1, None] * centres + maps[:, 1, 2, None])[:, :, None]
    return grid


def cut_out(pictures: Sequence[np.ndarray], maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the parts of pictures that crops see, in one batch, and the crops' maps in it.

    Pictures of different sizes cannot be sampled at once, and most of their pixels lie outside of the crops.

    Args:
        pictures: uint8 (H, W, 3), each of its own size.
        maps: one for each, of :func:`random_crops`.

    Returns:
        uint8 (N, h, w, 3), in which each part stands at the top left, and float32 (N, 2, 3).
    """
    sizes = np.array([picture.shape[1::-1] for picture in pictures], np.float64)  # width, height
    scale = maps.double().numpy()[:, [0, 1], [0, 1]]
    offset = maps.double().numpy()[:, :, 2]
    centre, half = (offset + 1) / 2 * sizes, np.abs(scale) * sizes / 2
    # bilinear sampling at x takes the pixels on either side of x - 0.5
    first = np.maximum(0, np.floor(centre - half - 0.5)).astype(int)
    last = np.minimum(sizes, np.floor(centre + half - 0.5) + 2).astype(int)
    width, height = (last - first).max(0) + 1
    parts = np.empty((len(pictures), height, width, 3), np.uint8)
    for part, picture, (x, y), (x_end, y_end) in zip(parts, pictures, first, last):
        w, h = x_end - x, y_end - y
        part[:h, :w] = picture[y:y_end, x:x_end]
        part[:h, w] = part[:h, w - 1]  # beyond a picture's edge its last pixels are repeated
        part[h, : w + 1] = part[h - 1, : w + 1]
    whole = np.array([width, height], np.float64)
    moved = np.zeros((len(pictures), 2, 3))
    moved[:, [0, 1], [0, 1]] = scale * sizes / whole
    moved[:, :, 2] = 2 * (centre - first) / whole - 1
    return torch.from_numpy(parts), torch.from_numpy(moved).float()
