"""An empty MLflow store, made once: its schema takes seconds."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from varireal.config import Params, load_params
from varireal.reporting.results import Results, read_results


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store whose schema is made, which takes MLflow seconds."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    from mlflow import MlflowClient

    MlflowClient(f"sqlite:///{path}").search_experiments()
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
