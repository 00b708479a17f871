"""Figures of finished edits, by a judge that is not the filter; ``python -m varireal_pretraining.measure FOLDER...``.

For each folder with a cell's edits: how often the judge sees what was asked for in the edits, in their priors and in
true renders of the same scenes; for colours also by the nearest palette colour in Lab; how often it still sees the
class, in edits and in the photos; and in what share of the edits every pixel outside the edited region is the photo's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np

from varireal.base.files import json_bytes, read_image, read_mask, write_json
from varireal.base.manifest import ImageRecord, read_manifest
from varireal.base.seeding import generator
from varireal.cli import run_command
from varireal.datasets.world.render import Rendering, Scene, render_scene, sample_scene
from varireal.datasets.world.vocabulary import COLORS
from varireal.editing.pixels import edited_region
from varireal.errors import UserError
from varireal_pretraining.figures import nearest_palette_color
from varireal_pretraining.images import SIZE
from varireal_pretraining.judge_net import JUDGE, NAMES, Judge
from varireal_pretraining.loop import path_option, process_options

#: The head that answers for each attribute.
HEADS = {"background": "place", "color": "surface", "texture": "surface"}


def true_render(record: ImageRecord) -> Rendering:
    """Render what the edit asked for: its class with the asked value, all else as in a natural photo.

    Raises:
        UserError: the value is no word of the rendered world.
    """
    rng = generator("rendered_aircraft", "true renders", record.image_id, record.attribute, record.value)
    scene = sample_scene(rng, natural=True, class_name=record.class_name)
    value = str(record.value)
    if record.attribute == "background":
        asked = Scene(scene.class_name, value, scene.color, scene.material, scene.accent)
    elif record.attribute == "color":
        asked = Scene(scene.class_name, scene.place, value, None, None)
    else:
        asked = Scene(scene.class_name, scene.place, None, value, None)
    return render_scene(asked, rng, SIZE)


def dilation_of(record: ImageRecord) -> float:
    """Return by how many pixels the edit's object was grown, from the settings the manifest holds.

    Raises:
        UserError: the settings do not say.
    """
    try:
        return float(json.loads(str(record.settings))["recipe"]["dilation"])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"the settings of edit {record.image_id} hold no recipe.dilation; make the edits anew"
        ) from error


def is_untouched_outside(edit: np.ndarray, photo: np.ndarray, region: np.ndarray) -> bool:
    """Return whether edit and photo, uint8 (H, W, 3), agree to the bit wherever ``region``, bool (H, W), is false."""
    return edit.shape == photo.shape and bool(np.array_equal(edit[~region], photo[~region]))


def cell_figures(records: Sequence[ImageRecord], photos: dict[str, ImageRecord], judge: Judge) -> dict[str, Any]:
    """Return the figures of one cell's edits.

    Args:
        records: the rows of its manifest with a picture: accepted ones and exhausted ones.
        photos: image id -> row of the photo.

    Raises:
        UserError: a picture, a mask or a photo's row is missing.
    """
    first = records[0]
    masks = [read_mask(Path(str(record.mask_path))) for record in records]
    edits = [read_image(Path(record.path)) for record in records]
    originals = [read_image(Path(_photo(photos, record).path)) for record in records]
    renders = [true_render(record) for record in records]
    asked = [str(record.value) for record in records]
    sets: dict[str, tuple[list[np.ndarray], list[np.ndarray]]] = {
        "edits": (edits, masks),
        "true_renders": ([render.image for render in renders], [render.mask > 127 for render in renders]),
    }
    if all(record.prior_path for record in records):
        sets["priors"] = ([read_image(Path(str(record.prior_path))) for record in records], masks)
    head = HEADS[str(first.attribute)]
    seen = {name: judge.predict(images, with_masks) for name, (images, with_masks) in sets.items()}
    classes = [record.class_name for record in records]
    regions = [edited_region(str(r.attribute), m, dilation_of(r)) for r, m in zip(records, masks, strict=True)]
    figures: dict[str, Any] = {
        "count": len(records),
        "candidates": len(NAMES[head]),
        "asked_seen_by_judge": {name: _share(guesses[head], asked) for name, guesses in seen.items()},
        "class_seen_by_judge": {
            **{name: _share(guesses["class"], classes) for name, guesses in seen.items() if name != "priors"},
            "photos": _share(judge.predict(originals, masks)["class"], classes),
        },
        "untouched_outside": float(np.mean([*map(is_untouched_outside, edits, originals, regions)])),
    }
    if first.attribute == "color":
        figures["asked_nearest_in_lab"] = {
            name: _share([nearest_palette_color(i, m, COLORS) for i, m in zip(*pair, strict=True)], asked)
            for name, pair in sets.items()
        }
    return figures


def _photo(photos: dict[str, ImageRecord], record: ImageRecord) -> ImageRecord:
    if record.photo_id not in photos:
        raise UserError(f"the photos' manifest has no photo {record.photo_id}, of which {record.image_id} is an edit")
    return photos[record.photo_id]


def _share(guesses: Sequence[str], true: Sequence[str]) -> float:
    return round(float(np.mean([guess == answer for guess, answer in zip(guesses, true, strict=True)])), 4)


_CHOICES: dict[str, Callable[[ImageRecord], bool]] = {
    "accepted": lambda record: record.status == "accepted",
    "all": lambda record: record.status in ("accepted", "exhausted"),
}


@click.command()
@click.argument("cells", nargs=-1, required=True, type=click.Path(path_type=Path))
@path_option("--photos", Path("data/prepared/manifest.parquet"))
@path_option("--judge judge_folder", JUDGE)
@click.option("--out", type=click.Path(path_type=Path), help="Where to write the figures as JSON as well.")
@process_options()
def command(cells: tuple[Path, ...], photos: Path, judge_folder: Path, out: Path | None) -> None:
    """Print the figures of the edits in CELLS, folders such as data/edits/color/feasible."""
    cv2.setNumThreads(1)
    judge = Judge.load(judge_folder)
    rows = {record.image_id: record for record in read_manifest(photos)}
    figures: dict[str, Any] = {}
    for cell in cells:
        records = read_manifest(cell / "manifest.parquet")
        if not records:
            raise UserError(f"{cell / 'manifest.parquet'} lists no edit; make the edits first (dvc repro edit)")
        chosen = {name: [record for record in records if keep(record)] for name, keep in _CHOICES.items()}
        key = f"{records[0].attribute}_{records[0].feasibility}"
        figures[key] = {name: cell_figures(part, rows, judge) for name, part in chosen.items() if part}
    click.echo(json_bytes(figures).decode())
    if out is not None:
        write_json(out, figures)


if __name__ == "__main__":
    run_command(command)
