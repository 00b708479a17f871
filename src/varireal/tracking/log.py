"""Log what lies on disk: a study's results with its best model, a sweep, and studies side by side."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from varireal import paths
from varireal.base.files import read_mapping, sha256_file
from varireal.errors import UserError
from varireal.reporting.provenance import read_provenance
from varireal.reporting.results import read_results
from varireal.reporting.verdicts import verdict_metrics
from varireal.tracking.entries import Entry, across_entry, sweep_entry
from varireal.tracking.notes import across_note, sweep_note
from varireal.tracking.register import register_best
from varireal.tracking.store import CELL, STUDY, TrackingError, open_store
from varireal.tracking.study import DVC_EXPERIMENT, PARENT, LoggedStudy, log_study
from varireal.tracking.trouble import without_password
from varireal.tracking.view import run_link

if TYPE_CHECKING:
    from varireal.config import Params
    from varireal.reporting.across import Across
    from varireal.reporting.dose import DoseResponse

logger = logging.getLogger(__name__)


def experiment_name(params: Params) -> str:
    """Return the name of MLflow's experiment: as the settings say, else the data set's."""
    if params.tracking.experiment is not None:
        return params.tracking.experiment
    there = paths.DATASET_INFO.is_file()
    return str(read_mapping(paths.DATASET_INFO, "name")["name"]) if there else params.dataset.name


def log_results(params: Params, tell: Callable[[str], None], *, anew: bool = False) -> bool:
    """Log what `report` wrote and register the best model, if that is asked for; return whether the store took it.

    A store that cannot be used costs one warning, and so does a model that cannot be packed.

    Args:
        tell: is called with a line for everything that was logged.
        anew: replace also the runs that are there with the same content.

    Raises:
        UserError: `report` has not written its results yet.
    """
    for path in (paths.SUMMARY, paths.PROVENANCE, paths.VERDICTS):
        if not path.is_file():
            raise UserError(f"{path} is missing, so there is nothing to log; run `dvc repro` first")
    study = LoggedStudy(
        params=params,
        dataset=read_mapping(paths.DATASET_INFO, "name")["name"],
        digest=sha256_file(paths.PHOTOS_MANIFEST)[:36],
        results=read_results(params.grid),
        made=read_provenance(paths.PROVENANCE),
        verdicts=verdict_metrics(read_mapping(paths.VERDICTS, "comparisons")),
        summary=paths.SUMMARY.read_text(encoding="utf-8"),
        artifacts={"": paths.REPORTS, "table": paths.METRICS / "table.csv", "verdicts": paths.VERDICTS},
    )
    try:
        tell(f"MLflow: {log_study(study, anew=anew)}")
    except TrackingError as error:
        logger.warning(
            "MLflow was not used (%s); the results are complete without it: mend that, then `varireal track` logs them",
            error,
        )
        return False
    if params.tracking.register_model is None:
        return True
    try:
        tell(f"MLflow: {register_best(study, params.tracking.register_model)}")
    except (TrackingError, UserError) as error:
        logger.warning("MLflow has the runs but not the best model (%s); `varireal track` registers it later", error)
        return False
    return True


def log_sweep(sweep: DoseResponse, experiment: str, figures: Path, picture: Path) -> str:
    """Log a sweep as one run beside those of its experiments; return where it lies, in words.

    Another sweep of the same study takes the place of the earlier one.

    Args:
        experiment: MLflow's experiment, the one that holds the runs of the sweep's experiments.
        figures: the sweep as JSON.
        picture: the curves as PNG.

    Raises:
        TrackingError: the store cannot be reached, locked or written.
    """
    names = sweep.experiments
    beside = Beside("sweep", sweep.study, names, lambda links: sweep_note(sweep, links))
    return _log_beside(beside, sweep_entry(sweep), experiment, {"": picture, "figures": figures})


def log_across(across: Across, experiment: str, folder: Path) -> str:
    """Log studies side by side as one run beside theirs; return where it lies, in words.

    The same data set's later view takes the place of the earlier one.

    Args:
        experiment: MLflow's experiment, the one that holds the runs of the studies.
        folder: page, picture and figures.

    Raises:
        TrackingError: the store cannot be reached, locked or written.
    """
    names = [side.study.name for side in across.sides]
    beside = Beside("across", across.dataset, names, lambda links: across_note(across, links))
    return _log_beside(beside, across_entry(across), experiment, {"": folder})


@dataclasses.dataclass(frozen=True)
class Beside:
    """How a run that tells of several experiments is found again and described."""

    command: str  # that makes it
    key: str  # what it is of
    experiments: Iterable[str]  # by their names
    note: Callable[[dict[str, str]], str]  # its description, from links to the runs of the experiments


def _log_beside(beside: Beside, entry: Entry, experiment: str, artifacts: Mapping[str, Path]) -> str:
    """Log a run that tells of several experiments, in the place of an earlier one; return where it lies, in words."""
    tags = {STUDY: f"{beside.command} {beside.key}", CELL: beside.command}
    with open_store(experiment) as store:
        old = store.find(tags)
        own = {**tags, "mlflow.source.name": f"varireal {beside.command}"}
        run_id = store.keep(old[0] if old else None, entry, own)
        runs = {run.data.tags.get(DVC_EXPERIMENT): run.info.run_id for run in store.find({CELL: PARENT})}
        links = {name: run_link(store.experiment_id, runs[name]) for name in beside.experiments if name in runs}
        store.describe(run_id, beside.note(links))
        store.attach(run_id, artifacts)
        gone = run_link(store.experiment_id, old[0].info.run_id) if old else None
        store.lead_to(entry.name, run_link(store.experiment_id, run_id), gone)
    return f"experiment '{experiment}', run '{entry.name}' in {without_password(store.uri)}"
