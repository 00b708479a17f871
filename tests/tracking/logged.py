"""A study that is logged in tests, and the runs of it in its store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from varireal.config import Params
from varireal.reporting.provenance import Provenance
from varireal.reporting.results import Results
from varireal.tracking.study import LoggedStudy, log_study

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

MADE = Provenance(commit="c0ffee", changed=False, experiment=None, versions={}, data={"data/prepared": "abc.dir"})


def client(root: Path) -> MlflowClient:
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{root / 'mlflow.db'}")


def runs(root: Path) -> dict[str, Run]:
    store = client(root)
    experiment = store.get_experiment_by_name("rendered_aircraft")
    assert experiment is not None
    found = store.search_runs([experiment.experiment_id])
    named = {run.info.run_name: run for run in found}
    assert len(named) == len(found), "a run is there twice"
    return named


def described(study: tuple[Params, Results], made: Provenance = MADE) -> LoggedStudy:
    params, results = study
    verdicts = {"verdict/color/points": 1.5}
    return LoggedStudy(params, "rendered_aircraft", "d1", results, made, verdicts, "* It does not.", {})


def log(study: tuple[Params, Results], made: Provenance = MADE, *, anew: bool = False) -> str:
    return log_study(described(study, made), anew=anew)
