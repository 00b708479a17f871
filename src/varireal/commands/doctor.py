"""`varireal doctor`: what a run needs, and what it means, before anything expensive. Not part of the pipeline."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from varireal.base.files import json_bytes
from varireal.cli import stage_options
from varireal.doctor.calibration import estimate_run
from varireal.doctor.examination import examine
from varireal.doctor.findings import findings_grid, findings_json
from varireal.doctor.groups import groups_grid, groups_json, state_groups
from varireal.errors import UserError
from varireal.tables import results_console, rich_table

if TYPE_CHECKING:
    from varireal.config import Params


@click.command()
@stage_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option("--calibrate", is_flag=True, help="Run the costly parts on a few photos, and estimate time and disk.")
@click.option("--hours", is_flag=True, help="Only the hours of full-size groups on pets, aircraft and cars.")
def command(params: Params, as_json: bool, calibrate: bool, hours: bool) -> None:
    """Look at the machine, the checkpoints, the data set and the prompts of params.yaml, and count the work.

    Nothing is downloaded, loaded or written. What is missing is named with its remedy, and makes the exit code 1.
    Sizes of checkpoints that would be downloaded are asked of the hub, for a few seconds at most.

    With --calibrate the networks are loaded once, and a batch of masks, of edits of each attribute and a few steps of
    training are timed, in a temporary folder.

    With --hours nothing is looked at: a table says what the study, our own settings, fewer steps and the least that can
    carry a verdict take of one H100, by calculation.
    """
    if hours:
        if calibrate:
            raise UserError("--hours calculates and --calibrate measures; give one of them")
        stated = state_groups()
        if as_json:
            click.echo(json_bytes(groups_json(stated)), nl=False)
        else:
            results_console().print(rich_table(groups_grid(stated)))
        return
    examination = examine(params, Path())
    if calibrate:
        examination = examination.with_findings(estimate_run(params, examination))
    if as_json:
        click.echo(json_bytes(findings_json(examination.findings)), nl=False)
    else:
        results_console().print(rich_table(findings_grid(examination.findings)))
        missing = [finding.name for finding in examination.missing]
        doubts = sum(finding.part == "doubts" for finding in examination.findings)
        look = f" Worth a look: {doubts} doubts above." if doubts else ""
        click.echo((f"Missing: {', '.join(missing)}." if missing else "Nothing is missing.") + look)
    if examination.missing:
        sys.exit(1)
