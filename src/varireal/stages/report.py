"""`varireal report`: the table, the verdicts, the page with pictures, and a run in MLflow for every cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from varireal import paths
from varireal.base.files import atomic_write_bytes, staged_folder
from varireal.cli import stage_options
from varireal.reporting.report import build_report
from varireal.tables import results_console, rich_table
from varireal.tracking import log_results

if TYPE_CHECKING:
    from varireal.config import Params


@click.command("report")
@stage_options
def command(params: Params) -> None:
    """Print the study's table and verdicts and write them with the page; then log every cell of the grid to MLflow.

    Cells are those that `grid` of params.yaml names. The results are on disk before MLflow is asked, and a
    store that cannot be reached costs a warning only.
    """
    report = build_report(params)
    for path, content in report.metrics.items():
        atomic_write_bytes(path, content)
    with staged_folder(paths.REPORTS) as folder:
        for name, content in report.files.items():
            atomic_write_bytes(folder / name, content)
    console = results_console()
    for grid in report.grids:
        console.print(rich_table(grid))
    for line in report.headline:
        console.print(line, highlight=False)
    console.print(f"Page with pictures: {paths.PAGE}", highlight=False)
    log_results(params, click.echo)
