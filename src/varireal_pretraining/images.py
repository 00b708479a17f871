"""Renders the pictures that the demo models are trained on; ``python -m varireal_pretraining.images``.

One folder holds, as uint8 arrays in ``.npy`` files that can be memory-mapped: two splits of scenes (``train`` and
``held_out``, a quarter of each natural) with masks and attributes, and a bank of empty places and materials. All
seeds begin with "pretraining", so no picture here can occur in the rendered data set.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np

from varireal.base.files import read_json, staged_folder
from varireal.base.seeding import generator
from varireal.datasets.world.materials import render_material
from varireal.datasets.world.render import Scene, render_place, render_scene, sample_scene
from varireal.datasets.world.vocabulary import MATERIALS, PLACES

log = logging.getLogger(__name__)

IMAGES = Path("models/demo/.training/images")
SIZE = 128
#: One scene in this many is natural (feasible attributes only, two-coloured liveries): a quarter.
NATURAL_EVERY = 4
CHUNK = 50


@dataclass(frozen=True)
class ImageSet:
    """A split: images uint8 (N, 128, 128, 3), masks uint8 0/255 (N, 128, 128), scenes, natural bool (N,)."""

    images: np.ndarray
    masks: np.ndarray
    scenes: list[Scene]
    natural: np.ndarray


@dataclass(frozen=True)
class Bank:
    """Pictures of empty places and of materials by name, each uint8 (K, 128, 128, 3)."""

    places: dict[str, np.ndarray]
    materials: dict[str, np.ndarray]


def is_natural(index: int) -> bool:
    """Whether the scene of that index was drawn with natural attributes."""
    return index % NATURAL_EVERY == 0


def _scenes(job: tuple[int, str, range]) -> tuple[np.ndarray, np.ndarray, list[dict[str, str | None]]]:
    seed, split, indices = job
    images, masks, scenes = [], [], []
    for index in indices:
        rng = generator("pretraining", "scene", seed, split, index)
        rendering = render_scene(sample_scene(rng, natural=is_natural(index)), rng, SIZE)
        images.append(rendering.image)
        masks.append(rendering.mask)
        scenes.append(asdict(rendering.scene))
    return np.stack(images), np.stack(masks), scenes


def _bank(job: tuple[int, str, str, int]) -> np.ndarray:
    seed, kind, name, count = job
    render: Callable[..., np.ndarray] = render_place if kind == "place" else render_material
    return np.stack([render(name, generator("pretraining", kind, seed, name, i), SIZE) for i in range(count)])


def _chunks(count: int) -> Iterator[range]:
    return (range(start, min(count, start + CHUNK)) for start in range(0, count, CHUNK))


def _render_split(pool: ProcessPoolExecutor, folder: Path, split: str, count: int, seed: int) -> None:
    shape = (count, SIZE, SIZE, 3)
    images = np.lib.format.open_memmap(folder / f"{split}_images.npy", "w+", np.uint8, shape)
    masks = np.lib.format.open_memmap(folder / f"{split}_masks.npy", "w+", np.uint8, shape[:3])
    scenes: list[dict[str, str | None]] = []
    for pixels, mask, facts in pool.map(_scenes, [(seed, split, part) for part in _chunks(count)]):
        start = len(scenes)
        scenes += facts
        images[start : len(scenes)], masks[start : len(scenes)] = pixels, mask
        if len(scenes) % 1000 == 0:
            log.info("%s: %d of %d pictures", split, len(scenes), count)
    (folder / f"{split}_scenes.json").write_text(json.dumps(scenes), encoding="utf-8")


def _render_bank(
    pool: ProcessPoolExecutor, folder: Path, kind: str, names: Sequence[str], count: int, seed: int
) -> None:
    pictures = pool.map(_bank, [(seed, kind, name, count) for name in names])
    np.save(folder / f"bank_{kind}.npy", np.stack(list(pictures)))


def render_images(
    folder: Path, *, train: int, held_out: int, per_place: int, per_material: int, workers: int, seed: int
) -> None:
    """Render everything into ``folder``, which appears when it is complete; bytes do not depend on ``workers``."""
    with staged_folder(folder) as staging, ProcessPoolExecutor(workers) as pool:
        _render_split(pool, staging, "held_out", held_out, seed)
        _render_bank(pool, staging, "place", tuple(PLACES), per_place, seed)
        _render_bank(pool, staging, "material", MATERIALS, per_material, seed)
        _render_split(pool, staging, "train", train, seed)


def load_images(folder: Path, split: str) -> ImageSet:
    """Load ``"train"`` or ``"held_out"``; images and masks are memory-mapped read-only."""
    scenes = [Scene(**facts) for facts in read_json(folder / f"{split}_scenes.json")]
    return ImageSet(
        np.load(folder / f"{split}_images.npy", mmap_mode="r"),
        np.load(folder / f"{split}_masks.npy", mmap_mode="r"),
        scenes,
        np.array([is_natural(index) for index in range(len(scenes))]),
    )


def load_bank(folder: Path) -> Bank:
    """Load the pictures of places and materials."""
    places, materials = (np.load(folder / f"bank_{kind}.npy", mmap_mode="r") for kind in ("place", "material"))
    return Bank(dict(zip(PLACES, places, strict=True)), dict(zip(MATERIALS, materials, strict=True)))


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=IMAGES, show_default=True)
@click.option("--train", default=24_000, show_default=True, help="Training scenes.")
@click.option("--held-out", default=1_000, show_default=True, help="Scenes kept for figures.")
@click.option("--per-place", default=40, show_default=True, help="Empty pictures of each place.")
@click.option("--per-material", default=16, show_default=True, help="Close-ups of each material.")
@click.option("--workers", default=2, show_default=True)
@click.option("--seed", default=0, show_default=True)
def main(out: Path, train: int, held_out: int, per_place: int, per_material: int, workers: int, seed: int) -> None:
    """Render the pictures that the demo models are trained on."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    render_images(
        out,
        train=train,
        held_out=held_out,
        per_place=per_place,
        per_material=per_material,
        workers=workers,
        seed=seed,
    )


if __name__ == "__main__":
    main()
