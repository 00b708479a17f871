"""MLflow's own pages in a real browser: how a person gets from the experiment to the comparison of the cells."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from varireal.config import load_params
from varireal.reporting.provenance import Provenance
from varireal.reporting.results import read_results
from varireal.tracking.study import LoggedStudy, log_study

playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install 'varireal[dev]'")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")]

PATIENCE = 90  # seconds: a busy machine makes servers and browsers slow, not wrong


@contextmanager
def pages(root: Path) -> Iterator[str]:
    """MLflow's pages as `make ui` starts them, but for the helpers that work on traces of language models."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = [sys.executable, "-m", "mlflow", "ui", "--workers", "1", "--port", str(port),
            "--backend-store-uri", f"sqlite:///{root / 'mlflow.db'}"]  # fmt: skip
    env = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (root / "ui.log").open("wb") as log:
        process = subprocess.Popen(code, stdout=log, stderr=log, env=env, start_new_session=True)
    try:
        address = f"http://127.0.0.1:{port}"
        end = time.monotonic() + PATIENCE
        while not answers(f"{address}/health"):
            assert process.poll() is None and time.monotonic() < end, (root / "ui.log").read_text()
            time.sleep(0.3)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # with the server below it
        process.wait()


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def test_the_comparison_is_two_clicks_away_and_nothing_leaves_the_machine(
    finished_study: Path, empty_store: Path
) -> None:
    shutil.copy(empty_store, finished_study / "mlflow.db")
    params = load_params(finished_study / "params.yaml")
    grid = params.grid.model_copy(update={"attributes": ["color"], "sources": ["synthetic"]})
    made = Provenance(commit=None, changed=False, experiment=None, versions={}, data={})
    results = read_results(grid, finished_study / "metrics")
    params = params.model_copy(update={"grid": grid})
    log_study(LoggedStudy(params, "rendered_aircraft", "d1", results, made, {}, "* It does not.", {}))

    sandbox = [] if os.geteuid() else ["--no-sandbox"]  # root has none
    with pages(finished_study) as address, playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=sandbox, timeout=1000 * PATIENCE)
        context = browser.new_context(viewport={"width": 1440, "height": 1400})
        context.set_default_timeout(1000 * PATIENCE)
        asked: list[str] = []
        broken: list[str] = []
        context.on("request", lambda request: asked.append(request.url))
        context.on("weberror", lambda error: broken.append(str(error.error)))
        page = context.new_page()
        page.goto(f"{address}/#/experiments")
        page.get_by_text("Model training").click()  # a choice that the browser remembers
        page.get_by_role("link", name="rendered_aircraft").click()
        with context.expect_page() as opened:
            page.locator("a[href*=viewStateShareKey]").first.click()
        page = opened.value
        page.get_by_text("The comparison").first.wait_for()
        for condition in ("feasible", "infeasible", "mixed"):
            page.get_by_text(f"color {condition} synthetic").first.wait_for()
        # the bars of test/top1, each the mean over seeds 0 and 1: mixed as feasible, infeasible 3 points below
        for mean, bars in (("51.00", 2), ("48.00", 1), ("61.00", 1), ("30.00", 1)):
            page.wait_for_function(
                "([text, count]) => [...document.querySelectorAll('svg text')]"
                ".filter(each => each.textContent === text).length === count",
                arg=[mean, bars],
            )
        browser.close()
    assert [url for url in asked if not url.startswith((f"{address}/", "data:", "blob:"))] == []
    assert broken == []
