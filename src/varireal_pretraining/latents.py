"""Encodes the training pictures once, so that the UNet trains on latents; ``python -m varireal_pretraining.latents``.

Each scene gets one region that is repainted (background, object, the seam between them, or a part of the object):
its mask, and the latents of the picture with that region greyed out, as the inpainting pipeline makes them.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import click
import cv2
import numpy as np
import torch
from diffusers import AutoencoderKL

from varireal.base.files import staged_folder
from varireal.base.seeding import generator
from varireal.cli import run_command
from varireal_pretraining.images import (
    IMAGES,
    SIZE,
    Bank,
    RenderedSet,
    create_arrays,
    load_arrays,
    load_bank,
    load_images,
)
from varireal_pretraining.loop import WORKSPACE, LibraryModel, path_option, process_options
from varireal_pretraining.vae import VAE, encode, to_tensor

log = logging.getLogger(__name__)

LATENTS = WORKSPACE / "latents"
#: Pixels per latent.
CELL = 4
#: How often each region is chosen.
REGION_SHARES = {"background": 0.38, "object": 0.36, "seam": 0.12, "part": 0.14}
BATCH = 8


@dataclass(frozen=True)
class LatentSet:
    """float16 arrays, memory-mapped, channels first with 32 x 32 cells.

    ``whole`` (N, 4, ...) is the picture, ``kept`` (N, 4, ...) the picture without its region, ``mask`` (N, 1, ...)
    the region (1 = repaint) and ``region`` (N,) its index in REGION_SHARES; ``places`` (16, K, 4, ...) and
    ``materials`` (10, K, 4, ...) are the bank in the vocabulary's order; ``grey`` (4, ...) is the all-grey picture.
    """

    whole: np.ndarray
    kept: np.ndarray
    mask: np.ndarray
    region: np.ndarray
    places: np.ndarray
    materials: np.ndarray
    grey: np.ndarray


def _grow(mask: np.ndarray, pixels: int) -> np.ndarray:
    """Dilate (pixels > 0) or erode (pixels < 0) a bool mask by that many pixels to every side."""
    if pixels == 0:
        return mask
    kernel = np.ones((2 * abs(pixels) + 1,) * 2, np.uint8)
    return (cv2.dilate if pixels > 0 else cv2.erode)(mask.astype(np.uint8), kernel) > 0


def draw_region(mask: np.ndarray, region: str, rng: np.random.Generator) -> np.ndarray:
    """Return the pixels to repaint, bool (H, W), for an object mask, bool (H, W), and a key of REGION_SHARES."""
    if region == "background":
        return ~_grow(mask, int(rng.integers(0, 4)))
    if region == "seam":
        return _grow(mask, int(rng.integers(1, 4))) & ~_grow(mask, -int(rng.integers(1, 4)))
    grown = _grow(mask, int(rng.integers(0, 5)))
    if region == "object":
        return grown
    rows, columns = np.mgrid[: mask.shape[0], : mask.shape[1]]
    center = rng.uniform(0.3, 0.7, 2) * mask.shape
    offset = rows - center[0], columns - center[1]
    if rng.random() < 0.6:
        angle = rng.uniform(0, 2 * np.pi)
        return grown & (offset[0] * np.sin(angle) + offset[1] * np.cos(angle) > 0)
    return grown & (np.hypot(*offset) > rng.uniform(0.1, 0.27) * mask.shape[0])


def _encode_bank(vae: LibraryModel, pictures: dict[str, np.ndarray]) -> np.ndarray:
    return np.stack([encode(vae, to_tensor(pixels)) for pixels in pictures.values()])


def encode_scenes(vae: LibraryModel, scenes: RenderedSet, bank: Bank, seed: int, folder: Path) -> None:
    """Write the arrays of a :class:`LatentSet` into an existing folder."""
    count, side = len(scenes.scenes), SIZE // CELL
    channels = {"whole": 4, "kept": 4, "mask": 1}
    kinds = {name: (np.float16, (number, side, side)) for name, number in channels.items()}
    arrays = create_arrays(folder, count, kinds)
    names = tuple(REGION_SHARES)
    regions = np.zeros(count, np.int8)
    for start in range(0, count, BATCH):
        part = slice(start, min(count, start + BATCH))
        repaint = []
        for index in range(part.start, part.stop):
            rng = generator("pretraining", "region", seed, index)
            regions[index] = rng.choice(len(names), p=list(REGION_SHARES.values()))
            repaint.append(draw_region(scenes.masks[index] > 0, names[regions[index]], rng))
        pictures = to_tensor(scenes.images[part])
        pixels = torch.from_numpy(np.stack(repaint))[:, None]
        arrays["whole"][part] = encode(vae, pictures)
        arrays["kept"][part] = encode(vae, pictures * ~pixels)
        # The pipeline shrinks the mask by nearest neighbour: the first pixel of every cell.
        arrays["mask"][part] = pixels[..., ::CELL, ::CELL].half().numpy()
        if start % (100 * BATCH) == 0:
            log.info("latents: %d of %d scenes", start, count)
    np.save(folder / "region.npy", regions)
    np.save(folder / "places.npy", _encode_bank(vae, bank.places))
    np.save(folder / "materials.npy", _encode_bank(vae, bank.materials))
    np.save(folder / "grey.npy", encode(vae, torch.zeros(1, 3, SIZE, SIZE))[0])


def load_latents(folder: Path) -> LatentSet:
    """Load what :func:`encode_scenes` wrote, memory-mapped read-only."""
    return LatentSet(**load_arrays(folder, "whole", "kept", "mask", "region", "places", "materials", "grey"))


@click.command()
@path_option("--images", IMAGES)
@path_option("--vae vae_folder", VAE)
@path_option("--out", LATENTS)
@click.option("--seed", default=0, show_default=True)
@process_options(threads=2)
def command(images: Path, vae_folder: Path, out: Path, seed: int) -> None:
    """Encode the training pictures with the trained autoencoder."""
    vae = AutoencoderKL.from_pretrained(vae_folder).eval()
    with staged_folder(out) as staging:
        encode_scenes(vae, load_images(images, "train"), load_bank(images), seed, staging)


if __name__ == "__main__":
    run_command(command)
