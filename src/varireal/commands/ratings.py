"""`varireal ratings`: what `varireal rate` has gathered. Not part of the pipeline."""

from __future__ import annotations

import click

from varireal import paths
from varireal.base.files import write_json
from varireal.cli import stage_options
from varireal.config import Params
from varireal.rating.agreement import agreement_grids, summarize_ratings
from varireal.tables import results_console, rich_table


@click.command()
@stage_options
def command(params: Params) -> None:
    """Measure how ratings agree with the feasibility that was asked for, and raters with each other.

    Reads data/ratings/*.jsonl, writes metrics/ratings.json: per attribute and rater Cohen's kappa, what was answered
    to feasible and infeasible edits, and the share called broken; between raters kappa on the edits that both rated.
    Ratings of pictures that have been made anew since are left out. Not a stage of the pipeline; the page of `report`
    shows what it found.
    """
    summary = summarize_ratings(params)
    write_json(paths.RATINGS, summary)
    console = results_console()
    for grid in agreement_grids(summary):
        console.print(rich_table(grid))
    if summary["left_out"]:
        click.echo(f"{summary['left_out']} ratings are left out: their pictures were made anew or left the grid.")
    click.echo(f"Written to {paths.RATINGS}; `dvc repro report` puts it on the page")
