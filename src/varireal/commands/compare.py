"""`varireal compare`: two experiments side by side. Not part of the pipeline: it reads results and writes none."""

from __future__ import annotations

import click

from varireal import paths
from varireal.base.files import json_bytes
from varireal.config import ReportConfig, load_params
from varireal.reporting.experiments import read_experiment
from varireal.reporting.side_by_side import as_json, compare, grids, summary_lines
from varireal.tables import results_console, rich_table


@click.command()
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@click.option(
    "--margin",
    type=click.FloatRange(min=0, min_open=True),
    help="Points of top-1 within which a difference does not matter.  "
    "[default: report.margin of params.yaml here, 0.3 without one]",
)
@click.option("--json", "in_json", is_flag=True, help="Print JSON instead of tables.")
def command(first: str, second: str, margin: float | None, in_json: bool) -> None:
    """Compare experiments A and B: every model that both have, on the same test photos.

    A and B are each a folder (a checkout with data/predictions in it), a predictions.parquet file, or else a DVC
    experiment or git revision of this repository, whose predictions DVC's cache must hold. Differences are A − B, seed
    by seed and photo by photo, with their 95 % interval over photos and seeds; verdicts are corrected for the number
    of models (Holm). Not a stage of the pipeline: nothing is written.
    """
    if margin is None:
        margin = load_params(paths.PARAMS).report.margin if paths.PARAMS.is_file() else ReportConfig().margin
    compared = compare(read_experiment(first), read_experiment(second), margin)
    if in_json:
        click.echo(json_bytes(as_json(compared)), nl=False)
        return
    console = results_console()
    for grid in grids(compared):
        console.print(rich_table(grid))
    for line in summary_lines(compared):
        console.print(line, highlight=False, markup=False)
