"""`varireal export`: a trained model or the edited data set in formats of others. Not part of the pipeline."""

from __future__ import annotations

from pathlib import Path

import click

from varireal.cli import verbose_option
from varireal.serving.export.edits import EVERYTHING
from varireal.serving.export.formats import DATA_FORMATS, MODEL_FORMATS, export_edits, export_model

MEGABYTE = 10**6


@click.command()
@verbose_option
@click.option(
    "--model",
    "adapter",
    type=click.Path(path_type=Path),
    help="Export CLIP with this adapter merged into it; the adapter's folder.",
)
@click.option(
    "--data", metavar="NAME", help="Export edits: a training set such as color_mixed, or all cells of the grid (all)."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(MODEL_FORMATS + DATA_FORMATS),
    help="open_clip (default) or mlflow for a model, imagefolder (default) or webdataset for edits.",
)
@click.option("--shard-mb", type=click.IntRange(min=1), default=500, show_default=True, help="Size of a tar shard.")
@click.option("--include-exhausted", is_flag=True, help="With --data all: also edits that never passed the filter.")
@click.option("--force", is_flag=True, help="Replace an earlier export.")
@click.argument("target", type=click.Path(path_type=Path))
def command(
    adapter: Path | None,
    data: str | None,
    form: str | None,
    shard_mb: int,
    include_exhausted: bool,
    force: bool,
    target: Path,
) -> None:
    """Write a model or edits into the new folder TARGET, which appears whole or not at all.

    A model becomes a folder that open_clip loads, or an MLflow model that answers photos with classes; edits become a
    Hugging Face imagefolder, or tar shards in the WebDataset format. docs/adapters.md says how each is used.
    """
    if (adapter is None) == (data is None):
        raise click.UsageError("give either --model or --data")
    allowed = MODEL_FORMATS if data is None else DATA_FORMATS
    form = form or allowed[0]
    if form not in allowed:
        raise click.UsageError(f"--format {form} does not fit; with --{'model' if data is None else 'data'}: {allowed}")
    if include_exhausted and data != EVERYTHING:
        raise click.UsageError("--include-exhausted goes with --data all; a training set is exported as it was chosen")
    if adapter is not None:
        export_model(adapter, form, target, force)
    elif data is not None:
        export_edits(data, form, shard_mb * MEGABYTE, include_exhausted, target, force)
    click.echo(f"Written to {target}")
