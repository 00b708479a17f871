"""`varireal doctor`: what a run needs, and what it means, before anything expensive. Not part of the pipeline."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from varireal.cli import stage_options

if TYPE_CHECKING:
    from varireal.config import Params


@click.command()
@stage_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option("--calibrate", is_flag=True, help="Run the costly parts on a few photos, and estimate time and disk.")
def command(params: Params, as_json: bool, calibrate: bool) -> None:
    """Look at the machine, the checkpoints, the data set and the prompts of params.yaml, and count the work.

    Nothing is downloaded, loaded or written. What is missing is named with its remedy, and makes the exit code 1.
    Sizes of checkpoints that would be downloaded are asked of the hub, for a few seconds at most.

    With --calibrate the networks are loaded once, and a batch of masks, of edits of each attribute and a few steps of
    training are timed, in a temporary folder.
    """
    from varireal.base.files import json_bytes
    from varireal.doctor import report

    examination = report.examine(params, Path())
    if calibrate:
        from varireal.doctor.calibration import calibrate as estimate

        examination = examination.with_findings(estimate(params, examination))
    if as_json:
        click.echo(json_bytes(report.as_json(examination.findings)), nl=False)
    else:
        from varireal.tables import results_console

        results_console().print(report.table(examination.findings))
        missing = [finding.name for finding in examination.missing]
        click.echo(f"Missing: {', '.join(missing)}" if missing else "Nothing is missing.")
    if examination.missing:
        sys.exit(1)
