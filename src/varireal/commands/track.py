"""`varireal track`: log what `report` wrote to MLflow, from the files on disk. No stage: `report` logs by itself."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import click

from varireal import paths
from varireal.cli import stage_options
from varireal.errors import UserError

if TYPE_CHECKING:
    from varireal.config import Params
    from varireal.tracking import Study

logger = logging.getLogger(__name__)


@click.command("track")
@stage_options
@click.option("--resend", is_flag=True, help="Log every run anew, also those that the store has.")
def command(params: Params, resend: bool) -> None:
    """Log the results that lie on disk to MLflow, where `report` could not.

    Nothing is computed. Runs that are there with the same content are left as they are, unless --resend is given.
    With tracking.register_model the best model goes into MLflow's registry, as `report` does it.
    The store is MLFLOW_TRACKING_URI, else mlflow.db here.
    """
    for path in (paths.SUMMARY, paths.PROVENANCE, paths.VERDICTS):
        if not path.is_file():
            raise UserError(f"{path} is missing, so there is nothing to log; run `dvc repro` first")
    if not log_results(params, anew=resend):
        raise UserError("MLflow has not got all; mend what the warning above says and run the same command again")


def log_results(params: Params, *, anew: bool = False) -> bool:
    """Log what `report` wrote and register the best model, if that is asked for; return whether the store took it.

    A store that cannot be used costs one warning, and so does a model that cannot be packed.
    """
    from varireal.base.files import read_json, sha256_file
    from varireal.reporting.provenance import Provenance
    from varireal.reporting.results import read_results
    from varireal.reporting.verdicts import verdict_metrics
    from varireal.tracking import Study, TrackingError, log_study

    study = Study(
        params=params,
        dataset=read_json(paths.DATASET_INFO)["name"],
        digest=sha256_file(paths.PHOTOS_MANIFEST)[:36],
        results=read_results(params.grid),
        made=Provenance(**read_json(paths.PROVENANCE)),
        verdicts=verdict_metrics(read_json(paths.VERDICTS)),
        summary=paths.SUMMARY.read_text(encoding="utf-8"),
        artifacts={"": paths.REPORTS, "table": paths.METRICS / "table.csv", "verdicts": paths.VERDICTS},
    )
    try:
        where = log_study(study, anew=anew)
    except TrackingError as error:
        logger.warning(
            "MLflow was not used (%s); the results are complete without it, `varireal track` logs them later", error
        )
        return False
    click.echo(f"MLflow: {where}")
    return _register(study, params.tracking.register_model)


def _register(study: Study, name: str | None) -> bool:
    from varireal.tracking import TrackingError, register_best

    if name is None:
        return True
    try:
        click.echo(f"MLflow: {register_best(study, name)}")
    except (TrackingError, UserError) as error:
        logger.warning("MLflow has the runs but not the best model (%s); `varireal track` registers it later", error)
        return False
    return True
