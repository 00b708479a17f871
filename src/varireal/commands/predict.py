"""`varireal predict`: the classes of any photo by a trained adapter. Not part of the pipeline."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from varireal.cli import verbose_option
from varireal.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from varireal.serving.classify import Prediction


@click.command()
@verbose_option
@click.option(
    "--adapter",
    type=click.Path(path_type=Path),
    required=True,
    help="An adapter's folder, such as models/adapters/color_mixed/synthetic/seed-0.",
)
@click.option("--top", type=click.IntRange(min=1), default=5, show_default=True, help="How many classes to name.")
@click.option("--device", default="auto", show_default=True, help="Where to compute: auto, cpu, cuda, cuda:0, mps.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.argument("photos", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PHOTO_OR_FOLDER...")
def command(adapter: Path, top: int, device: str, as_json: bool, photos: tuple[Path, ...]) -> None:
    """Name the likeliest classes of photos, with their probabilities.

    Folders are searched for pictures. The adapter's varireal.json says which CLIP it belongs to and which classes it
    knows; it is refused if either has changed. Photos that cannot be read are named at the end, and make the exit code
    1. Run it where the adapter was trained: the path of a local CLIP is relative to that folder.
    """
    from varireal.base.files import json_bytes
    from varireal.compute.progress import progress
    from varireal.config import ComputeConfig
    from varireal.serving.adapter import load_merged
    from varireal.serving.classify import Classifier, predict_photos

    found = _photos(photos)
    clip, description = load_merged(adapter, ComputeConfig(device=device))
    classifier = Classifier(clip, description)
    predictions = []
    with progress("Photos", len(found)) as advance:
        for prediction in predict_photos(classifier, found, top):
            predictions.append(prediction)
            advance(1)
    named = [prediction for prediction in predictions if prediction.problem is None]
    if as_json:
        click.echo(json_bytes([_as_json(prediction, classifier.classes) for prediction in named]), nl=False)
    elif named:
        from varireal.tables import results_console

        results_console().print(_table(named, classifier.classes))
    problems = [prediction.problem for prediction in predictions if prediction.problem is not None]
    for problem in problems:
        click.echo(f"Error: {problem}", err=True)
    if problems:
        sys.exit(1)


def _photos(named: Sequence[Path]) -> list[Path]:
    """Return the photos that are named, with those of folders in their place."""
    from varireal.datasets.folder_scan import walk_pictures

    found: list[Path] = []
    for path in named:
        inside = list(walk_pictures(path)) if path.is_dir() else [path]
        if not inside:
            raise UserError(f"the folder {path} holds no picture; name a photo or a folder of photos")
        found += inside
    return found


def _as_json(prediction: Prediction, classes: Sequence[str]) -> dict[str, Any]:
    return {
        "photo": str(prediction.photo),
        "classes": [
            {"class": classes[index], "class_index": index, "probability": probability}
            for index, probability in prediction.ranked
        ],
    }


def _table(predictions: Sequence[Prediction], classes: Sequence[str]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table()
    table.add_column("photo", overflow="fold")
    table.add_column("class", overflow="fold")
    table.add_column("probability", justify="right", no_wrap=True)
    for prediction in predictions:
        for rank, (index, probability) in enumerate(prediction.ranked):
            table.add_row(
                Text(str(prediction.photo) if rank == 0 else ""),
                Text(classes[index], style="bold" if rank == 0 else ""),
                f"{100 * probability:.1f} %",
                end_section=rank == len(prediction.ranked) - 1,
            )
    return table
