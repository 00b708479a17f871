"""`varireal track`: log what `report` wrote to MLflow, from the files on disk. No stage: `report` logs by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from varireal.cli import stage_options
from varireal.errors import UserError
from varireal.tracking import log_results

if TYPE_CHECKING:
    from varireal.config import Params


@click.command("track")
@stage_options
@click.option("--resend", is_flag=True, help="Log every run anew, also those that the store has.")
def command(params: Params, resend: bool) -> None:
    """Log the results that lie on disk to MLflow, where `report` could not.

    Nothing is computed. Runs that are there with the same content are left as they are, unless --resend is given.
    With tracking.register_model the best model goes into MLflow's registry, as `report` does it.
    The store is MLFLOW_TRACKING_URI, else mlflow.db here.
    """
    if not log_results(params, click.echo, anew=resend):
        raise UserError("MLflow has not got all; mend what the warning above says and run the same command again")
