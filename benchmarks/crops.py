"""What training sees of photos: how much of them, and how much of their finest detail, by where crops are taken from.

The study crops whole photos at their own size. Fine detail is the mean absolute Laplacian of the luma of a crop of the
network's size, its ratio to the study's crops is printed.

    python -m benchmarks.crops FOLDER_OF_PHOTOS --short-side 320
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
import cv2
import numpy as np
import torch
from PIL import Image
from torchvision.transforms import v2

from varireal.base.file_kinds import picture_suffixes
from varireal.base.files import read_image
from varireal.base.seeding import forked_torch_rng, generator
from varireal.config import AugmentationConfig
from varireal.training.crops import random_crops
from varireal.training.data import Augmentation
from varireal.training.pixels import shrunk

SCALE_MIN = 0.25  # the study's, and ours at full size


def detail(crop: np.ndarray) -> float:
    """Return the mean absolute Laplacian of a crop's luma in [0, 1]."""
    luma = cv2.cvtColor(crop.clip(0, 255).astype(np.float32) / 255, cv2.COLOR_RGB2GRAY)
    return float(np.abs(cv2.Laplacian(luma, cv2.CV_32F)[1:-1, 1:-1]).mean())


def studys_crops(photos: Sequence[np.ndarray], side: int) -> list[np.ndarray]:
    """Return one of the study's crops of each photo."""
    crop = v2.RandomResizedCrop(side, (SCALE_MIN, 1), interpolation=v2.InterpolationMode.BICUBIC)
    return [np.asarray(crop(Image.fromarray(photo))) for photo in photos]


def centre_squares(photos: Sequence[np.ndarray], side: int) -> torch.Tensor:
    """Return the squares that CLIP's preprocessing makes, uint8 (N, side, side, 3)."""
    square = v2.Compose([v2.Resize(side, v2.InterpolationMode.BICUBIC), v2.CenterCrop(side)])
    return torch.from_numpy(np.stack([np.asarray(square(Image.fromarray(photo))) for photo in photos]))


def share_seen(photos: Sequence[np.ndarray], crops: int = 200) -> float:
    """Return the mean share of whole photos that at least one of so many crops holds."""
    shares = []
    for photo in photos:
        height, width = photo.shape[:2]
        seen = np.zeros((height, width), bool)
        for (w, _, x), (_, h, y) in random_crops(crops, SCALE_MIN, False, torch.full((crops,), width / height)).numpy():
            left, right = ((x + edge + 1) / 2 * width for edge in (-w, w))
            top, bottom = ((y + edge + 1) / 2 * height for edge in (-h, h))
            seen[round(top) : round(bottom), round(left) : round(right)] = True
        shares.append(seen.mean())
    return float(np.mean(shares))


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--photos", "count", type=click.IntRange(min=1), default=60, show_default=True, help="Drawn by seed.")
@click.option("--crops", type=click.IntRange(min=1), default=5, show_default=True, help="Of each photo.")
@click.option("--side", type=click.IntRange(min=8), default=224, show_default=True, help="Of the network's input.")
@click.option("--short-side", type=click.IntRange(min=8), default=320, show_default=True, help="Of whole photos.")
def main(folder: Path, count: int, crops: int, side: int, short_side: int) -> None:
    """Print how much of photos, and of their detail, training sees."""
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in picture_suffixes())
    chosen = generator("benchmark", "crops").permutation(len(files))[:count]
    photos = [read_image(files[number]) for number in sorted(chosen)]
    squares, whole = centre_squares(photos, side), [shrunk(photo, short_side) for photo in photos]
    augment = Augmentation(AugmentationConfig(crop_scale_min=SCALE_MIN))
    with forked_torch_rng("benchmark"):
        study = np.mean([detail(crop) for _ in range(crops) for crop in studys_crops(photos, side)])
        ours = {
            f"crops of the square of {side} px": (
                np.mean([detail(crop) for _ in range(crops) for crop in augment(squares).numpy()]),
                np.mean([min(photo.shape[:2]) / max(photo.shape[:2]) for photo in photos]),
            ),
            f"crops of whole photos of {short_side} px": (
                np.mean(
                    [
                        detail(crop)
                        for _ in range(crops)
                        for crop in augment.of_photos(whole, side, torch.device("cpu")).numpy()
                    ]
                ),
                share_seen(whole),
            ),
        }
    sides = np.mean([min(photo.shape[:2]) for photo in photos])
    print(f"{len(photos)} photos, shorter side {sides:.0f} px on average; the study's crops: detail {study:.4f}")
    for name, (own, seen) in ours.items():
        print(f"{name:<36} detail {own / study:.0%} of the study's, {seen:.0%} of a photo is seen")


if __name__ == "__main__":
    main()
