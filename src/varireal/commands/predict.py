"""`varireal predict`: the classes of any photo by a trained adapter. Not part of the pipeline."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from varireal.base.files import json_bytes
from varireal.cli import verbose_option
from varireal.serving.classify import classes_grid, name_classes
from varireal.tables import results_console, rich_table


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
    answers = name_classes(adapter, device, photos, top)
    readable = [answer for answer in answers if answer.problem is None]
    if as_json:
        click.echo(json_bytes([answer.as_json() for answer in readable]), nl=False)
    elif readable:
        results_console().print(rich_table(classes_grid(readable)))
    problems = [answer.problem for answer in answers if answer.problem is not None]
    for problem in problems:
        click.echo(f"Error: {problem}", err=True)
    if problems:
        sys.exit(1)
