"""Stores in trouble: told with their remedy, within seconds."""

from __future__ import annotations

import contextlib
import importlib.util
import sqlite3
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.tracking.logged import client, log

from varireal.config import Params
from varireal.reporting.results import Results
from varireal.tracking import TrackingError
from varireal.tracking.store import open_store
from varireal.tracking.trouble import address_problem, told, without_password

if TYPE_CHECKING:
    pass


def test_another_process_with_the_lock_is_waited_for_and_then_named(
    finished_study: Path, study: tuple[Params, Results], monkeypatch: pytest.MonkeyPatch
) -> None:
    from filelock import FileLock

    monkeypatch.setattr("varireal.tracking.store.LOCK_SECONDS", 0.2)
    with FileLock(finished_study / "mlflow.db.lock"), pytest.raises(TrackingError, match="another process held"):
        log(study)


def test_a_deleted_experiment_is_told_with_both_remedies_and_they_work(
    finished_study: Path, study: tuple[Params, Results]
) -> None:
    log(study)
    store = client(finished_study)
    experiment = store.get_experiment_by_name("rendered_aircraft")
    assert experiment is not None
    store.delete_experiment(experiment.experiment_id)
    said = rf"'rendered_aircraft' of sqlite:.* was deleted: restore it .*restore -x {experiment.experiment_id}\)"
    with pytest.raises(TrackingError, match=said + ", or set tracking.experiment to another name$"):
        log(study)
    store.restore_experiment(experiment.experiment_id)
    assert log(study).startswith("experiment 'rendered_aircraft'")


def as_text(path: Path) -> None:
    path.write_text("this is no database, but a text of some length that somebody wrote here")


def as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def of_revision(number: str):
    def change(path: Path) -> None:
        with contextlib.closing(sqlite3.connect(path)) as database:
            database.execute(f"update alembic_version set version_num='{number}'")
            database.commit()

    return change


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (as_text, "file is not a database; move that file away, or name another store in MLFLOW_TRACKING_URI"),
        (as_folder, "unable to open database file; it is a folder or may not be opened"),
        (of_revision("0584bdc529eb"), "mlflow db upgrade"),
        (of_revision("ffffffffffff"), "a newer MLflow made it: install that one"),
    ],
)
def test_a_store_in_trouble_is_told_with_its_remedy_within_seconds(
    finished_study: Path, study: tuple[Params, Results], spoil, said: str
) -> None:
    spoil(finished_study / "mlflow.db")
    start = time.monotonic()
    with pytest.raises(TrackingError, match=said) as caught:
        log(study)
    assert "\n" not in str(caught.value)
    assert time.monotonic() - start < 30


def test_a_locked_store_is_told_within_seconds(finished_study: Path, study: tuple[Params, Results]) -> None:
    with contextlib.closing(sqlite3.connect(finished_study / "mlflow.db", isolation_level=None)) as database:
        database.execute("BEGIN EXCLUSIVE")
        with pytest.raises(TrackingError, match="database is locked; another program holds it"):
            log(study)


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("mysql://nobody@127.0.0.1:9/x", "needs the package mysqlclient, which is not installed: pip install mysqlcl"),
        ("postgresql://nobody@127.0.0.1:9/x", r"needs the package psycopg(2-binary|\[binary\])|[Cc]onnection refused"),
        ("mlruns", "stores of files are no longer taken: set MLFLOW_TRACKING_URI to sqlite"),
    ],
)
def test_stores_of_other_kinds_are_told_with_their_remedy(
    study: tuple[Params, Results], monkeypatch: pytest.MonkeyPatch, uri: str, said: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(TrackingError, match=said):
        log(study)


def test_artifacts_in_a_bucket_without_its_package_are_told(
    finished_study: Path, study: tuple[Params, Results]
) -> None:
    if importlib.util.find_spec("boto3") is not None:
        pytest.skip("boto3 is installed")
    client(finished_study).create_experiment("rendered_aircraft", artifact_location="s3://bucket/x")
    with pytest.raises(TrackingError, match="needs the package boto3, which is not installed"):
        log(study)


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("http://[::1", "is no address (Invalid IPv6 URL); correct it"),
        ("localhost:5000", "has no http:// at its beginning"),
        ("127.0.0.1:5000/", "has no http:// at its beginning"),
        *[(uri, "names no file, so nothing would be kept") for uri in
          ("sqlite:", "sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite://mlflow.db", "sqlite+pysqlite:///")],
    ],
)  # fmt: skip
def test_an_address_of_nothing_is_told_before_it_is_tried(uri: str, said: str) -> None:
    problem = address_problem(uri)
    assert problem is not None and said in problem


@pytest.mark.parametrize(
    "uri", ["http://127.0.0.1:5000", "https://a.example/mlflow", "sqlite:///mlflow.db", "sqlite:////tmp/a b.db",
            "postgresql+psycopg2://u:p@h/x", "databricks", "file:///tmp/mlruns"]
)  # fmt: skip
def test_an_address_that_may_be_one_is_tried(uri: str) -> None:
    assert address_problem(uri) is None


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        ("got unsupported URI 'postgres://u@h/x' for model registry", "begins with http://, https://, sqlite:///"),
        ("API request to endpoint /x failed with error code 401 != 200", "set MLFLOW_TRACKING_USERNAME"),
        ("API request to endpoint /x failed with error code 404 != 200", "correct MLFLOW_TRACKING_URI"),
        ("API request to http://h failed with exception HTTPConnectionPool(host='h')", "start that server"),
        (
            "but the response body was not in a valid JSON format. Response body: '<html>'",
            "correct MLFLOW_TRACKING_URI",
        ),
    ],
)
def test_a_servers_trouble_is_told_with_its_remedy(words: str, remedy: str) -> None:
    assert remedy in told(ValueError(words))


class OtherService(BaseHTTPRequestHandler):
    """Answers everything with the same JSON."""

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(200)
        self.send_header("Content-Length", "15")
        self.end_headers()
        self.wfile.write(b'{"status":"ok"}')

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        pass


def test_another_service_that_says_yes_to_everything_is_no_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = HTTPServer(("127.0.0.1", 0), OtherService)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f" http://127.0.0.1:{server.server_port} ")
    try:
        with pytest.raises(TrackingError, match="is no MLflow server; correct MLFLOW_TRACKING_URI"), open_store("mine"):
            pass
    finally:
        server.shutdown()
        server.server_close()


def test_passwords_of_addresses_are_in_no_message() -> None:
    for address in ("http://me:s3cret@host:5000/x", "postgresql+psycopg2://me:s3cret@host/db"):
        shown = without_password(f"the experiment of {address} was deleted")
        assert "s3cret" not in shown and address.replace("s3cret", "***") in shown
        assert "s3cret" not in str(TrackingError(f"{address} answers, but it is no MLflow server"))
    assert without_password("sqlite:////tmp/a:b@c/mlflow.db") == "sqlite:////tmp/a:b@c/mlflow.db"
