"""Training images: drawn in shuffled rounds, augmented as a batch on the device."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from varireal.base.seeding import SeedPart, derive_seed
from varireal.errors import UserError
from varireal.training.crops import cut_out, random_crops, sampling_grid
from varireal.training.pixels import PixelCache, Pixels, WholePixels

if TYPE_CHECKING:
    from varireal.base.manifest import ImageRecord
    from varireal.config import AugmentationConfig
    from varireal.training.classifiers import Classifier


@dataclasses.dataclass(frozen=True)
class LabelledImages:
    """Images as the network sees them, before the normalisation."""

    pixels: torch.Tensor | Pixels  # uint8 (N, S, S, 3)
    labels: torch.Tensor  # int64 (N,), class indices

    def __len__(self) -> int:
        return len(self.labels)


@dataclasses.dataclass(frozen=True)
class LabelledPhotos:
    """Whole pictures for training, from which crops are taken."""

    pixels: WholePixels
    labels: torch.Tensor  # int64 (N,), class indices

    def __len__(self) -> int:
        return len(self.labels)


def load_images(records: Sequence[ImageRecord], cache: PixelCache, root: Path = Path()) -> LabelledImages:
    """Return the images of a manifest at the model's square size; what no run before has decoded is decoded now.

    Raises:
        UserError: an image is missing or cannot be read, or there is none.
    """
    return LabelledImages(cache.load(records, root), _labels(records))


def load_photos(records: Sequence[ImageRecord], cache: PixelCache, root: Path = Path()) -> LabelledPhotos:
    """Return the whole images of a manifest, as :func:`load_images` does squares.

    Raises:
        UserError: an image is missing or cannot be read, or there is none.
    """
    return LabelledPhotos(cache.load_whole(records, root), _labels(records))


def load_training_images(
    records: Sequence[ImageRecord], clip: Classifier, short_side: int | None, work: Path | None = None
) -> LabelledImages | LabelledPhotos:
    """Return images to crop from: whole ones with a shorter side of so many pixels, or squares (None).

    Raises:
        UserError: as for :func:`load_images`.
    """
    cache = PixelCache(clip, work, short_side)
    return load_images(records, cache) if short_side is None else load_photos(records, cache)


def _labels(records: Sequence[ImageRecord]) -> torch.Tensor:
    if not records:
        raise UserError("there is no image to load; check the splits in data/prepared/dataset.json")
    return torch.tensor([record.class_index for record in records])


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
        return _sampled(planes, crops, planes.shape[-1])

    def of_photos(self, photos: Sequence[np.ndarray], side: int, device: torch.device) -> torch.Tensor:
        """Return crops of whole pictures, float in [0, 255], (N, side, side, 3) on the device.

        Args:
            photos: uint8 (H, W, 3), each of its own size.
        """
        if self._steps:
            planes = [torch.from_numpy(np.array(photo)).permute(2, 0, 1) for photo in photos]
            photos = [_in_turn(self._steps, image).permute(1, 2, 0).numpy() for image in planes]
        aspects = torch.tensor([photo.shape[1] / photo.shape[0] for photo in photos])
        parts, crops = cut_out(photos, random_crops(len(photos), self._crop_scale_min, self._flip, aspects))
        return _sampled(parts.to(device).permute(0, 3, 1, 2), crops.to(device), side)


def _sampled(planes: torch.Tensor, crops: torch.Tensor, side: int) -> torch.Tensor:
    grid = sampling_grid(crops, side)
    cropped = functional.grid_sample(planes.float(), grid, padding_mode="border", align_corners=False)
    return cropped.permute(0, 2, 3, 1)


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
