"""The page of `dvc plots`: it draws what dvc.yaml asks for, and asks no other host for anything."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dvc.repo import Repo
from dvc_render import VegaRenderer, render_html

REPOSITORY = Path(__file__).parents[1]
TEMPLATES = {"bar_horizontal", "confusion", "linear"}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two revisions: two bars each, a curve with a step that has no figure, and a confusion of three photos."""
    bars = [{"cell": cell, "top1_mean": str(top1), "rev": rev} for rev, cell, top1 in
            (("HEAD", "<b>real", 50), ("HEAD", "zero", 25), ("new", "<b>real", 40), ("new", "zero", 10))]  # fmt: skip
    curve = [{"step": str(step), "top1": top1, "rev": rev} for rev in ("HEAD", "new") for step, top1 in
             ((0, "10"), (10, "30"), (5, ""))]  # fmt: skip
    photos = [{"actual": actual, "predicted": predicted, "rev": rev} for rev in ("HEAD", "new")
              for actual, predicted in (("jet", "jet"), ("jet", "jet"), ("jet", "kite"))]  # fmt: skip
    plots: list[Any] = [
        VegaRenderer(bars, "bars", template="bar_horizontal", x="top1_mean", y="cell", title="Top-1"),
        VegaRenderer(curve, "curve", template="linear", x="step", y="top1", title="Curve"),
        VegaRenderer(photos, "confusion", template="confusion", x="actual", y="predicted", title="Confusion"),
    ]
    with Repo(str(REPOSITORY)) as repo:
        template = Path(repo.dvc_dir or "", repo.config["plots"]["html_template"])
    return Path(render_html(plots, tmp_path_factory.mktemp("plots") / "index.html", template))


def test_the_page_asks_no_other_host(page: Path) -> None:
    text = page.read_text()
    assert text.count("vegaEmbed('#") == 3 and "Confusion" in text
    assert re.findall(r"""(?:src|href)\s*=\s*["'][^"'#]""", text) == [] and "import(" not in text


def test_dvc_yaml_asks_for_plots_that_the_page_draws() -> None:
    text = (REPOSITORY / "dvc.yaml").read_text()
    assert set(re.findall(r"^ +template: (\w+)$", text, re.MULTILINE)) <= TEMPLATES


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install 'varireal[dev]'")
    with playwright.sync_playwright() as running:
        found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
        path = Path(found or running.chromium.executable_path)
        if not path.is_file():
            pytest.skip("needs Chromium: apt install chromium, or playwright install chromium")
        opened = running.chromium.launch(executable_path=path, args=["--no-sandbox"], timeout=120_000)
        yield opened
        opened.close()


@pytest.mark.browser
def test_bars_curves_and_counts_are_drawn_for_every_revision(browser: Any, page: Path) -> None:
    tab, errors = browser.new_page(viewport={"width": 1000, "height": 900}), []
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.goto(page.as_uri())
    assert tab.locator("figcaption").all_inner_texts() == ["Top-1", "Curve", "Confusion"]
    assert tab.locator(".bars th").all_inner_texts() == ["<b>real", "", "zero", ""]
    assert tab.locator(".bars td:last-child").all_inner_texts() == ["50", "40", "25", "10"]
    widths = tab.locator(".bars td div").evaluate_all("all => all.map(each => each.style.width)")
    assert widths == ["100%", "80%", "50%", "20%"]
    curves = tab.locator("polyline").evaluate_all(
        "all => all.map(each => each.getAttribute('points').split(' ').length)"
    )
    assert curves == [2, 2]
    counts = tab.locator(".counts").first
    assert counts.locator("caption").inner_text() == "HEAD: predicted by row, actual by column"
    assert counts.locator("td").all_inner_texts() == ["2", "1"]  # jet and kite were said of three jets
    assert tab.locator(".legend").first.locator("span").all_inner_texts() == ["HEAD", "new"]
    assert errors == []
    tab.screenshot(path=str(page.with_name("page.png")), full_page=True)
