"""Renders the pictures that the demo models are trained on; ``python -m varireal_pretraining.images``.

One folder holds, as uint8 arrays in ``.npy`` files that can be memory-mapped: two splits of scenes (``train`` and
``held_out``, a quarter of each natural) with masks and attributes, and a bank of empty places and materials. All
seeds begin with "pretraining", so no picture here can occur in the rendered data set.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np

from varireal.base.files import read_json, staged_folder
from varireal.base.seeding import generator
from varireal.cli import run_command
from varireal.compute.processes import map_in_order
from varireal.datasets.world.materials import render_material
from varireal.datasets.world.render import Scene, render_place, render_scene, sample_scene
from varireal.datasets.world.vocabulary import CLASSES, MATERIALS, PLACES
from varireal_pretraining.loop import WORKSPACE, path_option, process_options

log = logging.getLogger(__name__)

IMAGES = WORKSPACE / "images"
SIZE = 128
#: One scene in this many is natural (feasible attributes only, two-coloured liveries): a quarter.
NATURAL_EVERY = 4
CHUNK = 50


@dataclass(frozen=True)
class RenderedSet:
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
    """Return whether the scene of that index was drawn with natural attributes."""
    return index % NATURAL_EVERY == 0


def create_arrays(
    folder: Path, count: int, kinds: Mapping[str, tuple[type[np.generic], tuple[int, ...]]]
) -> dict[str, np.ndarray]:
    """Return arrays (count, *shape) that are written to ``<name>.npy`` in a folder; ``kinds`` are types and shapes."""
    return {
        name: np.lib.format.open_memmap(folder / f"{name}.npy", "w+", kind, (count, *shape))
        for name, (kind, shape) in kinds.items()
    }


def load_arrays(folder: Path, *names: str) -> dict[str, np.ndarray]:
    """Return the arrays of a folder, memory-mapped read-only."""
    return {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in names}


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


def _render_split(folder: Path, split: str, count: int, seed: int, workers: int) -> None:
    kinds = {f"{split}_images": (np.uint8, (SIZE, SIZE, 3)), f"{split}_masks": (np.uint8, (SIZE, SIZE))}
    images, masks = create_arrays(folder, count, kinds).values()
    scenes: list[dict[str, str | None]] = []
    jobs = [(seed, split, range(start, min(count, start + CHUNK))) for start in range(0, count, CHUNK)]
    for pixels, mask, facts in map_in_order(_scenes, jobs, workers):
        start = len(scenes)
        scenes += facts
        images[start : len(scenes)], masks[start : len(scenes)] = pixels, mask
        if len(scenes) % 1000 == 0:
            log.info("%s: %d of %d pictures", split, len(scenes), count)
    (folder / f"{split}_scenes.json").write_text(json.dumps(scenes), encoding="utf-8")


def render_images(
    folder: Path, *, train: int, held_out: int, per_place: int, per_material: int, workers: int, seed: int
) -> None:
    """Render everything into ``folder``, which appears when it is complete; bytes do not depend on ``workers``."""
    with staged_folder(folder) as staging:
        _render_split(staging, "held_out", held_out, seed, workers)
        for kind, names, count in (("place", tuple(PLACES), per_place), ("material", MATERIALS, per_material)):
            pictures = map_in_order(_bank, [(seed, kind, name, count) for name in names], workers)
            np.save(staging / f"bank_{kind}.npy", np.stack(list(pictures)))
        _render_split(staging, "train", train, seed, workers)


def load_images(folder: Path, split: str) -> RenderedSet:
    """Load ``"train"`` or ``"held_out"``; images and masks are memory-mapped read-only."""
    scenes = [Scene(**facts) for facts in read_json(folder / f"{split}_scenes.json")]
    images, masks = load_arrays(folder, f"{split}_images", f"{split}_masks").values()
    return RenderedSet(images, masks, scenes, np.array([is_natural(index) for index in range(len(scenes))]))


def load_bank(folder: Path) -> Bank:
    """Load the pictures of places and materials."""
    places, materials = load_arrays(folder, "bank_place", "bank_material").values()
    return Bank(dict(zip(PLACES, places, strict=True)), dict(zip(MATERIALS, materials, strict=True)))


def fresh_photos(purpose: str, per_class: int) -> RenderedSet:
    """Render natural scenes of every class, class by class, for figures.

    They are seeded as the data set's are, so none of them was trained on; another purpose gives other pictures.
    """
    renderings = []
    for name in CLASSES:
        for index in range(per_class):
            rng = generator("rendered_aircraft", "demo figures", purpose, name, index)
            renderings.append(render_scene(sample_scene(rng, natural=True, class_name=name), rng, SIZE))
    images, masks = (np.stack([getattr(rendering, kind) for rendering in renderings]) for kind in ("image", "mask"))
    return RenderedSet(images, masks, [rendering.scene for rendering in renderings], np.ones(len(renderings), bool))


@click.command()
@path_option("--out", IMAGES)
@click.option("--train", default=24_000, show_default=True, help="Training scenes.")
@click.option("--held-out", default=1_000, show_default=True, help="Scenes kept for figures.")
@click.option("--per-place", default=40, show_default=True, help="Empty pictures of each place.")
@click.option("--per-material", default=16, show_default=True, help="Close-ups of each material.")
@click.option("--workers", default=2, show_default=True)
@click.option("--seed", default=0, show_default=True)
@process_options()
def command(out: Path, **options: int) -> None:
    """Render the pictures that the demo models are trained on."""
    render_images(out, **options)


if __name__ == "__main__":
    run_command(command)
