"""MLflow's own pages in a real browser: what the addresses that `make ui` prints open."""

from __future__ import annotations

import os
import re
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest

from varireal.base.files import atomic_write_bytes, encode_png
from varireal.config import load_params
from varireal.reporting.provenance import Provenance
from varireal.reporting.results import read_results
from varireal.tracking.pages import served, ways_in
from varireal.tracking.study import LoggedStudy, log_study

playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install 'varireal[dev]'")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")]

PATIENCE = 90  # seconds: a busy machine makes servers and browsers slow, not wrong


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_the_comparisons_open_at_once_and_nothing_leaves_the_machine(finished_study: Path, empty_store: Path) -> None:
    shutil.copy(empty_store, finished_study / "mlflow.db")
    params = load_params(finished_study / "params.yaml")
    grid = params.grid.model_copy(update={"attributes": ["color"], "sources": ["synthetic"]})
    made = Provenance(commit=None, changed=False, experiment=None, versions={}, data={})
    results = read_results(grid, finished_study / "metrics")
    params = params.model_copy(update={"grid": grid})
    picture = encode_png(np.full((54, 780, 3), 200, np.uint8))
    atomic_write_bytes(finished_study / "reports/figures/strip.png", picture)
    files = {"": finished_study / "reports"}
    log_study(LoggedStudy(params, "rendered_aircraft", "d1", results, made, {}, "* It does not.", files))
    quarter = params.model_copy(update={"mix": params.mix.model_copy(update={"ratio": 0.25})})
    log_study(LoggedStudy(quarter, "rendered_aircraft", "d1", results, made, {}, "* It does not.", files))

    uri, (studies, cells, latest) = ways_in("rendered_aircraft")
    sandbox = [] if os.geteuid() else ["--no-sandbox"]  # root has none
    with served(uri, free_port()) as (address, _), playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=sandbox, timeout=1000 * PATIENCE)
        context = browser.new_context(viewport={"width": 1440, "height": 1400})
        context.set_default_timeout(1000 * PATIENCE)
        asked: list[str] = []
        broken: list[str] = []
        context.on("request", lambda request: asked.append(request.url))
        context.on("weberror", lambda error: broken.append(str(error.error)))
        page = context.new_page()
        page.goto(f"{address}/{studies.link}")
        for condition, mean in (("feasible", "51.00"), ("infeasible", "48.00"), ("mixed", "51.00")):
            card = page.get_by_test_id("experiment-view-compare-runs-card").filter(
                has_text=re.compile(f"^color {condition}")
            )
            for ratio in ("ratio 0.5", "ratio 0.25"):
                card.get_by_text(ratio, exact=True).wait_for()
            page.wait_for_function(
                "text => [...document.querySelectorAll('svg text')].some(each => each.textContent === text)", arg=mean
            )
        page.goto(f"{address}/{cells.link}")
        page.get_by_text("The cells, a dot for every seed").wait_for()
        for name in ("col feas", "col inf", "col mix", "real", "zero-shot"):
            page.locator(".xtick text", has_text=name).first.wait_for()
        page.goto(f"{address}/{latest.link}")
        page.get_by_text("It does not.").wait_for()
        page.wait_for_function("[...document.images].some(each => each.src.includes('strip.png') && each.naturalWidth)")
        assert page.get_by_text("Show more").count() == 0  # nothing is folded away
        browser.close()
    assert [url for url in asked if not url.startswith((f"{address}/", "data:", "blob:"))] == []
    assert broken == []
