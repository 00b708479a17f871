"""`varireal preview`: a few photos through every cell, before anything expensive. Not part of the pipeline."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from varireal import paths
from varireal.cli import stage_options
from varireal.previewing.run import make_preview, write_preview
from varireal.previewing.upstream import bring_up_to_date
from varireal.tables import results_console, rich_table

if TYPE_CHECKING:
    from varireal.config import Params
    from varireal.previewing.preview import Preview


@click.command()
@stage_options
@click.option("-n", "count", type=click.IntRange(min=1), default=8, show_default=True, help="Photos.")
@click.option("--repro/--no-repro", default=True, show_default=True, help="Have DVC run prepare and prompt first.")
def command(params: Params, count: int, repro: bool) -> None:
    """Edit a few photos in every cell with the configured networks, and say what the whole run would come to.

    Writes preview/index.html: photo, mask, prior, every attempt and edit; what the filter accepted; time and memory by
    network; a forecast; what looks wrong. Masks and edits are kept in .work/, where the run itself finds them.
    """
    if repro and click.get_current_context().params["params_path"] == paths.PARAMS:  # DVC reads no others
        bring_up_to_date()
    make_preview(params, count, _show)


def _show(preview: Preview) -> None:
    page = write_preview(preview)
    console = results_console()
    for grid in preview.grids():
        console.print(rich_table(grid))
    for line in preview.warnings:
        click.echo(f"Warning: {line}")
    click.echo(f"The page: {page}")
