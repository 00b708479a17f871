"""Training images: drawn in shuffled rounds, augmented as a batch on the device."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from varireal.base.seeding import SeedPart, derive_seed
from varireal.errors import UserError
from varireal.training.pixels import PixelCache, Pixels

if TYPE_CHECKING:
    from varireal.base.manifest import ImageRecord
    from varireal.config import AugmentationConfig

ASPECT_LIMIT = math.log(4 / 3)  # of a random crop: 3:4 to 4:3, as in torchvision's RandomResizedCrop and the study


@dataclasses.dataclass(frozen=True)
class LabelledImages:
    """Images as the network sees them, before the normalisation."""

    pixels: torch.Tensor | Pixels  # uint8 (N, S, S, 3)
    labels: torch.Tensor  # int64 (N,), class indices

    def __len__(self) -> int:
        return len(self.labels)


def load_images(records: Sequence[ImageRecord], cache: PixelCache, root: Path = Path()) -> LabelledImages:
    """Return the images of a manifest at the model's square size; what no run before has decoded is decoded now.

    Raises:
        UserError: an image is missing or cannot be read, or there is none.
    """
    if not records:
        raise UserError("there is no image to load; check the splits in data/prepared/dataset.json")
    return LabelledImages(cache.load(records, root), torch.tensor([record.class_index for record in records]))


class Rounds:
    """Positions of a pool in shuffled rounds: every image comes once before any comes again."""

    def __init__(self, size: int, *seed: SeedPart) -> None:
        self._size = size
        self._seed = seed

    def draw(self, start: int, count: int) -> torch.Tensor:
        """Return the positions number ``start`` to ``start + count`` of the endless sequence, int64 (count,)."""
        first, last = start // self._size, (start + count - 1) // self._size
        rounds = torch.cat([self._round(number) for number in range(first, last + 1)])
        offset = start - first * self._size
        return rounds[offset : offset + count]

    def _round(self, number: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(derive_seed(*self._seed, number))
        return torch.randperm(self._size, generator=generator)


class Augmentation:
    """Random resized crop, flip and whatever else the configuration switches on, on a batch of uint8 images.

    It works on the device of the batch but draws from torch's own generator on the CPU, so that the draws are the same
    on every device: call it inside :func:`varireal.base.seeding.forked_torch_rng`.
    """

    def __init__(self, config: AugmentationConfig) -> None:
        self._crop_scale_min = config.crop_scale_min
        self._flip = config.flip
        self._steps = _colour_steps(config)

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return float pixels in [0, 255], of the shape of ``pixels``, uint8 (N, S, S, 3)."""
        planes = pixels.permute(0, 3, 1, 2)
        if self._steps:
            planes = torch.stack([_in_turn(self._steps, image) for image in planes])
        crops = random_crops(len(planes), self._crop_scale_min, self._flip).to(planes.device)
        grid = sampling_grid(crops, planes.shape[-1])
        cropped = functional.grid_sample(planes.float(), grid, padding_mode="border", align_corners=False)
        return cropped.permute(0, 2, 3, 1)


def random_crops(count: int, scale_min: float, flip: bool) -> torch.Tensor:
    """Return random resized crops as affine maps from output to input, float32 (count, 2, 3).

    The area is uniform in [scale_min, 1] of the square. The logarithm of the aspect ratio is uniform between plus
    and minus :data:`ASPECT_LIMIT`, or what fits into the square at that area. The place is uniform, and half are
    mirrored if asked. At ``scale_min`` 1 the whole square is kept.
    """
    area = scale_min + (1 - scale_min) * torch.rand(count)
    high = (-area.log()).clamp(max=ASPECT_LIMIT)
    aspect = torch.exp(high * (2 * torch.rand(count) - 1))
    width = (area * aspect).sqrt()
    height = (area / aspect).sqrt()
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


def _colour_steps(config: AugmentationConfig) -> list[Callable[[torch.Tensor], torch.Tensor]]:
    """Return torchvision's transforms for the settings that are not zero; strengths as in SimCLR and DINO."""
    from torchvision.transforms import v2

    steps: list[Callable[[torch.Tensor], torch.Tensor]] = []
    if config.randaugment_magnitude:
        steps.append(v2.RandAugment(num_ops=2, magnitude=config.randaugment_magnitude))
    if config.color_jitter:
        steps.append(v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.2, 0.1)], p=config.color_jitter))
    if config.grayscale:
        steps.append(v2.RandomGrayscale(p=config.grayscale))
    if config.blur:
        steps.append(v2.RandomApply([v2.GaussianBlur(kernel_size=9, sigma=(0.1, 2.0))], p=config.blur))
    if config.solarize:
        steps.append(v2.RandomSolarize(threshold=128, p=config.solarize))
    return steps


def _in_turn(steps: Sequence[Callable[[torch.Tensor], torch.Tensor]], image: torch.Tensor) -> torch.Tensor:
    for step in steps:
        image = step(image)
    return image
