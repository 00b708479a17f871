"""A sweep from its points to its curves: what is there already, what is run, and where the curves go."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence

from varireal import paths
from varireal.base.files import atomic_write_bytes, write_json
from varireal.config import load_params
from varireal.reporting.dose import DoseResponse, SweepExperiment, dose_response, study_key
from varireal.reporting.dose_drawing import dose_figure
from varireal.reporting.experiments import read_experiment
from varireal.sweeping.points import Point
from varireal.sweeping.run import Tell, run_missing
from varireal.tracking import TrackingError, log_sweep

logger = logging.getLogger(__name__)


def run_sweep(points: Sequence[Point], jobs: int, tell: Tell) -> DoseResponse:
    """Run the experiments that are missing, ``jobs`` at a time after the first, and return the curves of all.

    Raises:
        UserError: there is no DVC repository or no dvc on PATH, an experiment failed, or the experiments do not fit.
    """
    experiments = run_missing(points, jobs, tell, lambda point: point.edits_per_photo)
    measured = []
    for point in points:
        name, rev = dataclasses.astuple(experiments[point.name])
        experiment = dataclasses.replace(read_experiment(rev), name=name)
        measured.append(SweepExperiment(point.ratio, point.params.edit.edits_per_photo, rev, experiment))
    return dose_response(measured, points[0].params)


def write_sweep(dose: DoseResponse) -> None:
    """Write metrics/sweep.json and metrics/plots/sweep.png."""
    write_json(paths.SWEEP, dose.model_dump(mode="json"))
    atomic_write_bytes(paths.SWEEP_FIGURE, dose_figure(dose))


def next_step(dose: DoseResponse) -> str:
    """Return how the curves get into the page, or why they do not."""
    if study_key(load_params(paths.PARAMS)) == dose.study:
        return "`dvc repro` puts them into the page"
    return "the page leaves them out, as they are of other settings than those of params.yaml"


def track_sweep(dose: DoseResponse, experiment: str | None) -> str | None:
    """Log a written sweep to MLflow and return where, or warn and return None if MLflow fails.

    ``experiment`` is that of MLflow; None: the data set's name.
    """
    try:
        return log_sweep(dose, experiment or dose.dataset, paths.SWEEP, paths.SWEEP_FIGURE)
    except TrackingError as error:
        logger.warning("MLflow was not used (%s); the curves are complete without it", error)
        return None
