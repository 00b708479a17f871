"""The store itself: of a project that was copied, and on a server with several first writers."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Experiment

from varireal.tracking.entries import Entry
from varireal.tracking.store import MlflowStore, open_store

ENTRY = Entry(name="a run", params={"seed": "0"}, metrics={"top1": 50.0}, per_class={"a": 50.0})


@pytest.fixture
def project(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    root = tmp_path / "a project"
    root.mkdir()
    shutil.copy(empty_store, root / "mlflow.db")
    monkeypatch.setenv("DVC_ROOT", str(root))
    yield root


def keep(root: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Log a run with a file of its own; return its experiment's id."""
    monkeypatch.setenv("DVC_ROOT", str(root))
    with open_store("photos") as store:
        store.create(ENTRY, {"varireal.cell": "a run"})
        return store.experiment_id


def files(root: Path) -> set[Path]:
    return {path.relative_to(root) for path in (root / "mlartifacts").rglob("*.json")}


def test_a_copied_project_keeps_its_files_to_itself_and_says_what_became_of_the_old_ones(
    project: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first = keep(project, monkeypatch)
    before = files(project)
    copy = project.with_name("a copy")
    shutil.copytree(project, copy)

    with caplog.at_level(logging.WARNING):
        second = keep(copy, monkeypatch)
    assert files(project) == before and len(before) == 1
    assert len(files(copy) - before) == 1
    store = MlflowClient(f"sqlite:///{copy / 'mlflow.db'}")
    assert {store.get_experiment(each).name for each in (first, second)} == {"photos", f"photos (of {project})"}
    (line,) = caplog.messages
    assert str(project / "mlartifacts") in line and f"'photos (of {project})'" in line

    caplog.clear()
    assert keep(copy, monkeypatch) == second and keep(project, monkeypatch) == first  # once is enough
    assert caplog.messages == []


def test_a_project_that_comes_back_finds_another_name_for_each_place(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, there = MlflowClient(f"sqlite:///{project / 'mlflow.db'}"), tmp_path / "there"
    for name in ("photos", f"photos (of {there})"):
        store.create_experiment(name, artifact_location=(there / "mlartifacts").as_uri())
    keep(project, monkeypatch)
    names = {experiment.name for experiment in store.search_experiments()} - {"Default"}
    assert names == {"photos", f"photos (of {there})", f"photos (of {there}, 2)"}


def test_an_experiment_whose_files_lie_elsewhere_by_choice_is_left_alone(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    chosen = store.create_experiment("photos", artifact_location=(tmp_path / "big disk").as_uri())
    assert keep(project, monkeypatch) == chosen


def test_of_two_first_writers_on_a_server_both_log(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server, look, others = f"sqlite:///{project / 'mlflow.db'}", MlflowClient.get_experiment_by_name, []

    def look_a_moment_too_early(self: MlflowClient, name: str) -> Experiment | None:
        found = look(self, name)
        if not others:
            others.append("")  # the other one's own look
            others[0] = MlflowStore(server, "photos", project).experiment_id
        return found

    monkeypatch.setattr(MlflowClient, "get_experiment_by_name", look_a_moment_too_early)
    assert [MlflowStore(server, "photos", project).experiment_id] == others
