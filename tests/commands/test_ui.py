"""`varireal ui`: what it prints, what it opens, and what it says when it cannot."""

from __future__ import annotations

import contextlib
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from varireal.cli import main
from varireal.errors import UserError
from varireal.tracking.entries import Entry
from varireal.tracking.pages import served
from varireal.tracking.store import open_store


@pytest.fixture
def store(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: settings and an empty store."""
    shutil.copy(Path(__file__).parents[2] / "params.yaml", tmp_path)
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for desktop in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(desktop, raising=False)
    return tmp_path


@contextlib.contextmanager
def no_server(uri: str, port: int) -> Iterator[tuple[str, None]]:
    """Pages that somebody else serves, so that nothing is started or waited for."""
    yield f"http://127.0.0.1:{port}", None


def show(monkeypatch: pytest.MonkeyPatch, *options: str) -> tuple[Result, list[str]]:
    """Run `varireal ui` beside pages that are there; return what it said and the addresses it opened."""
    opened: list[str] = []
    monkeypatch.setattr("varireal.commands.ui.served", no_server)
    monkeypatch.setattr("webbrowser.open", opened.append)
    return CliRunner().invoke(main, ["ui", *options], catch_exceptions=False), opened


def test_it_opens_the_comparison_of_studies_and_names_the_latest(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_store("rendered_aircraft") as runs:
        for key, name in (("a" * 64, "ratio 0.5"), ("b" * 64, "ratio 0.25 · dying-obit")):
            tags = {"varireal.study": key, "varireal.cell": "study"}
            latest = runs.create(Entry(name=name, params={}, metrics={}), tags)
        start = f"http://127.0.0.1:7001/#/experiments/{runs.experiment_id}/runs"
    result, opened = show(monkeypatch, "--open", "--port", "7001")
    studies, cells = (
        f"{start}?workflowType=machine_learning&compareRunsMode=CHART&viewStateShareKey={key}"
        for key in ("studies", "b" * 16)
    )
    assert opened == [studies]
    assert result.output.splitlines() == [
        "all studies side by side:", f"  {studies}",
        "the cells of the latest, ratio 0.25 · dying-obit:", f"  {cells}",
        "its verdict, figures and files:", f"  {start}/{latest}?workflowType=machine_learning",
    ]  # fmt: skip


def test_an_empty_store_is_said_to_be_empty_and_no_browser_opens_without_a_desktop(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result, opened = show(monkeypatch)
    assert result.output == "http://127.0.0.1:5000 has no study yet: `dvc repro` logs one\n"
    assert opened == []
    monkeypatch.setenv("DISPLAY", ":0")
    assert show(monkeypatch)[1] == ["http://127.0.0.1:5000"]


def test_a_server_has_pages_of_its_own() -> None:
    with served("https://mlflow.example/", 5000) as (address, process):
        assert (address, process) == ("https://mlflow.example", None)


def test_a_taken_port_is_named_before_anything_starts() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        said = rf"^port {port} of 127.0.0.1 is taken .* --port 5001$"
        with pytest.raises(UserError, match=said), served("sqlite:///none.db", port):
            raise AssertionError("served")


def test_a_store_in_trouble_ends_in_one_line(store: Path) -> None:
    (store / "mlflow.db").write_text("this is no database, but a text of some length that somebody wrote here")
    with pytest.raises(
        UserError, match=r"^MLflow's store cannot be shown: .*file is not a database; move that file away"
    ):
        CliRunner().invoke(main, ["ui"], catch_exceptions=False)
