"""`varireal report`: the answers, the tables, the page with pictures, and a run in MLflow for every cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from varireal import paths
from varireal.base.files import atomic_write_bytes, staged_folder
from varireal.cli import stage_options
from varireal.reporting.report import build_report
from varireal.reporting.results import left_metrics
from varireal.tables import results_console, rich_table
from varireal.tracking import log_results

if TYPE_CHECKING:
    from varireal.config import Params


@click.command("report")
@click.option("--full", is_flag=True, help="Print the tables of all cells and comparisons too, before the answers.")
@stage_options
def command(params: Params, full: bool) -> None:
    """Print the answers, write them with the tables and the page; then log every cell of the grid to MLflow.

    Cells are those that `grid` of params.yaml names. The results are on disk before MLflow is asked, and a
    store that cannot be reached costs a warning only. Metrics of other cells are removed: what a commit holds belongs
    to its settings, and a larger grid brings them back.
    """
    report = build_report(params)
    for path, content in report.metrics.items():
        atomic_write_bytes(path, content)
    with staged_folder(paths.REPORTS) as folder:
        for name, content in report.files.items():
            atomic_write_bytes(folder / name, content)
    if left := left_metrics(params.grid):
        for path in left:
            path.unlink()
        click.echo(
            f"Removed {len(left)} files of metrics of cells outside the grid; DVC brings them back with a larger one"
        )
    console = results_console()
    for grid in report.grids if full else ():
        console.print(rich_table(grid))
    for line in report.sentences if full else report.headline:
        console.print(line, highlight=False, soft_wrap=not console.is_terminal)  # in a log a line each
    tables = f"Tables: {paths.TABLES}" if full else f"Tables: varireal report --full, or {paths.TABLES}"
    console.print(f"{tables}. Page with pictures: {paths.PAGE}", highlight=False)
    log_results(params, click.echo)
