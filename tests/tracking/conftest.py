"""An empty MLflow store, and a study for it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from filelock import FileLock

from varireal.config import Params, load_params
from varireal.reporting.results import Results, read_results


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store whose schema is made, which takes MLflow seconds: once for all processes of the tests."""
    own = tmp_path_factory.getbasetemp()
    folder = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    path = folder / "mlflow.db"
    with FileLock(folder / "mlflow.lock"):
        if not path.exists():
            from mlflow import MlflowClient

            half = own / "half-made.db"
            MlflowClient(f"sqlite:///{half}").search_experiments()
            half.replace(path)
    return path


@pytest.fixture
def study(finished_study: Path, empty_store: Path) -> tuple[Params, Results]:
    """The small grid: one attribute, two conditions, one source, two seeds; beside it an empty store."""
    shutil.copy(empty_store, finished_study / "mlflow.db")
    params = load_params(finished_study / "params.yaml")
    grid = params.grid.model_copy(
        update={"attributes": ["color"], "conditions": ["feasible", "infeasible"], "sources": ["synthetic"]}
    )
    return params.model_copy(update={"grid": grid}), read_results(grid, finished_study / "metrics")
