"""MLflow's pages on this machine, and the addresses that lead straight to what was measured."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

from varireal.errors import UserError
from varireal.tracking.store import CELL, STUDY, open_store
from varireal.tracking.study import PARENT
from varireal.tracking.view import ALL_STUDIES, run_link, view_key, view_link

HOST = "127.0.0.1"
PATIENCE = 120  # seconds until the pages must answer


@dataclasses.dataclass(frozen=True)
class Way:
    """A way into MLflow's pages."""

    words: str
    link: str  # within the pages


def ways_in(experiment: str) -> tuple[str, list[Way]]:
    """Return the address of the store, and the ways to an experiment's studies: the comparison of all, the latest one.

    There are none before a study was logged.

    Raises:
        TrackingError: the store cannot be reached, locked or read.
    """
    with open_store(experiment) as store:
        studies = store.find({CELL: PARENT})  # the latest first
        ways = []
        if studies:
            latest, number = studies[0], store.experiment_id
            cells = view_link(number, view_key(latest.data.tags[STUDY]))
            ways = [
                Way("all studies side by side", view_link(number, ALL_STUDIES)),
                Way(f"the cells of the latest, {latest.info.run_name}", cells),
                Way("its verdict, figures and files", run_link(number, latest.info.run_id)),
            ]
        return store.uri, ways


@contextlib.contextmanager
def served(uri: str, port: int) -> Iterator[tuple[str, subprocess.Popen[bytes] | None]]:
    """Yield the address of a store's pages and the process that serves them, None where a server does.

    Args:
        uri: of the store; a server has pages of its own.

    Raises:
        UserError: the port is taken, or the pages do not answer.
    """
    if uri.startswith(("http://", "https://")):
        yield uri.rstrip("/"), None
        return
    _check_port(port)
    code = [sys.executable, "-m", "mlflow", "ui", "--workers", "1", "--host", HOST, "--port", str(port),
            "--backend-store-uri", uri]  # fmt: skip
    # jobs work on traces of language models, of which there are none here
    own = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    process = subprocess.Popen(code, env={**own, **os.environ}, stdout=sys.stderr)  # the addresses alone on stdout
    try:
        address = f"http://{HOST}:{port}"
        _wait_for(address, process)
        yield address, process
    finally:
        process.terminate()
        process.wait()


def _check_port(port: int) -> None:
    with socket.socket() as wanted:
        wanted.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # one that was left a moment ago is free
        try:
            wanted.bind((HOST, port))
        except OSError as error:
            raise UserError(
                f"port {port} of {HOST} is taken ({error.strerror}), perhaps by MLflow's pages in another terminal; "
                "end those, or name another: varireal ui --port 5001"
            ) from error


def _wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + PATIENCE
    while not _answers(f"{address}/health"):
        if process.poll() is not None or time.monotonic() > end:
            raise UserError(f"MLflow's pages did not start at {address}; what it printed above says why")
        time.sleep(0.2)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False
