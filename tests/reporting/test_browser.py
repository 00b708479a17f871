"""The page in a real browser: what a reader can do with it, and what it must not do."""

from __future__ import annotations

import dataclasses
import itertools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from varireal import paths
from varireal.base.files import write_json
from varireal.base.manifest import FEASIBILITIES, read_manifest, write_manifest
from varireal.doctor.findings import Finding
from varireal.editing.attempts import Attempt, Edit, FilterAnswer, attempts_json
from varireal.editing.jobs import EditJob
from varireal.measuring.strength import Strength
from varireal.networks.calls import NetworkUse
from varireal.previewing.cells import PreviewedCell, PreviewedEdit
from varireal.previewing.preview import Preview
from varireal.previewing.probe import Measured
from varireal.previewing.run import write_preview
from varireal.previewing.sample import FoundMasks
from varireal.previewing.warnings import warn
from varireal.prompts import AttributeSpec
from varireal.rating.agreement import MEANT, summarize
from varireal.rating.edits import read_edits
from varireal.rating.store import Rating
from varireal.stages.report import command

playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install 'varireal[dev]'")
pytestmark = pytest.mark.browser

INJECTION = """<img src="http://127.0.0.1:9/x" onerror="window.hit = 1"></figcaption><script>window.hit = 1</script>"""
PATIENCE = 120_000  # ms: a busy machine makes a browser slow, not wrong


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as running:
        found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
        path = Path(found or running.chromium.executable_path)
        if not path.is_file():
            pytest.skip("needs Chromium: apt install chromium, or playwright install chromium")
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium refuses its sandbox to root
        opened = running.chromium.launch(executable_path=path, args=sandbox, timeout=PATIENCE)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("page") / "index.html"


def rate_as_meant() -> None:
    """Let a rater see in every edit but one what it was meant to be."""
    items = [item for cell in read_edits(("color", "texture"), FEASIBILITIES, exhausted=True).values() for item in cell]
    given = [Rating(item, MEANT[item.feasibility]) for item in items[:-1]] + [Rating(items[-1], "broken")]
    write_json(paths.RATINGS, summarize({"anna": given}, items))


@pytest.fixture
def report(request: pytest.FixtureRequest, kept: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The page of a study whose prompts try to break out of their place; made once for all tests."""
    if not kept.exists():
        study = request.getfixturevalue("finished_study")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        for attribute in ("color", "texture"):
            for feasibility in ("feasible", "infeasible"):
                path = paths.edit_folder(attribute, feasibility) / "manifest.parquet"
                write_manifest(path, [dataclasses.replace(e, prompt=INJECTION) for e in read_manifest(path)])
        rate_as_meant()
        CliRunner().invoke(command, [], catch_exceptions=False)
        shutil.copyfile(study / "reports/index.html", kept)
    return kept


@pytest.fixture(scope="module")
def tab(browser: Any) -> Iterator[Any]:
    opened = browser.new_page()
    opened.set_default_timeout(PATIENCE)
    yield opened
    opened.close()


@pytest.fixture
def page(tab: Any, report: Path) -> Iterator[Any]:
    """The page, opened anew; afterwards it must not have complained, nor asked anything of the network."""
    complaints: list[str] = []
    asked: list[str] = []
    listeners = {
        "console": lambda message: complaints.append(message.text),
        "pageerror": lambda error: complaints.append(str(error)),
        "request": lambda request: asked.append(request.url),
    }
    for event, listener in listeners.items():
        tab.on(event, listener)
    tab.set_viewport_size({"width": 1440, "height": 900})
    tab.goto(report.as_uri())
    yield tab
    for event, listener in listeners.items():
        tab.remove_listener(event, listener)
    assert complaints == []
    assert [url for url in asked if not url.startswith("data:")] == [report.as_uri()]


def shown(page: Any, field: str) -> list[str]:
    return page.eval_on_selector_all(
        ".edit", "(edits, field) => edits.filter(e => e.offsetHeight > 0).map(e => e.dataset[field])", field
    )


def test_filters_show_what_is_asked_for_and_all_again(page: Any) -> None:
    assert len(shown(page, "status")) == 12  # 2 attributes x 2 feasibilities x (2 accepted and 1 exhausted)
    page.select_option("select[name=feasibility]", "infeasible")
    assert shown(page, "feasibility") == ["infeasible"] * 6
    page.select_option("select[name=attribute]", "texture")
    page.select_option("select[name=status]", "exhausted")
    assert shown(page, "attribute") == ["texture"]
    assert page.inner_text("#shown") == "1 of 12 edits"
    page.select_option("select[name=class_name]", "<b>jet</b>")  # the exhausted one is a glider
    assert shown(page, "class_name") == []
    page.click("button[type=reset]")
    playwright.expect(page.locator("#shown")).to_have_text("12 of 12 edits", timeout=PATIENCE)
    page.select_option("select[name=class_name]", "<b>jet</b>")
    assert set(shown(page, "class_name")) == {"<b>jet</b>"}


def test_the_slider_slides_by_keyboard_and_uncovers_the_photo(page: Any) -> None:
    slider = page.locator(".edit input[type=range]").first
    clip = "getComputedStyle(document.querySelector('.edit .before')).clipPath"
    slider.focus()
    page.keyboard.press("End")
    assert (slider.input_value(), page.evaluate(clip)) == ("100", "inset(0px 0% 0px 0px)")
    page.keyboard.press("Home")
    assert page.evaluate(clip) == "inset(0px 100% 0px 0px)"
    page.keyboard.press("ArrowRight")
    assert slider.get_attribute("aria-valuetext") == "1 % photo, 99 % edit"
    other = "getComputedStyle(document.querySelectorAll('.edit .before')[1]).clipPath"
    assert page.evaluate(other) == "inset(0px 50% 0px 0px)"


def test_pictures_scroll_below_the_filters_and_not_over_them(page: Any) -> None:
    top = """() => {
      const filters = document.getElementById("filters");
      const photo = [...document.querySelectorAll(".edit .before")].at(-1);
      scrollBy(0, photo.getBoundingClientRect().top - filters.getBoundingClientRect().height / 2);
      const [bar, under] = [filters.getBoundingClientRect(), photo.getBoundingClientRect()];
      const y = (Math.max(bar.top, under.top) + bar.bottom) / 2;
      return [bar.top, under.top < bar.bottom, filters.contains(document.elementFromPoint(under.left + 2, y))];
    }"""
    assert page.evaluate(top) == [0, True, True]


def test_html_in_prompts_and_class_names_stays_text(page: Any) -> None:
    assert INJECTION in page.inner_text(".edit .prompt")
    assert "<b>jet</b>" in page.inner_text("#edits")
    assert page.evaluate("window.hit") is None
    assert page.locator("script").count() == 1
    assert page.locator("img:not([src^='data:'])").count() == 0


def test_ratings_are_shown_beside_what_was_asked_for(page: Any) -> None:
    rows = page.locator("section:has(#ratings) tbody tr").all_inner_texts()
    assert [row.split() for row in rows] == [
        ["color", "anna", "12", "0", "%", "6", "/", "0", "0", "/", "6", "100", "%", "1.00"],
        ["texture", "anna", "12", "8", "%", "6", "/", "0", "0", "/", "5", "100", "%", "1.00"],
        ["all", "attributes", "anna", "24", "4", "%", "12", "/", "0", "0", "/", "11", "100", "%", "1.00"],
    ]


def test_no_script_but_the_pages_own_runs(browser: Any, report: Path) -> None:
    page = browser.new_page()
    page.goto(report.as_uri(), timeout=PATIENCE)
    page.evaluate(
        """() => {
          const script = document.createElement("script");
          script.textContent = "window.hit = 1";
          document.body.append(script);
        }"""
    )
    assert page.evaluate("window.hit") is None
    page.close()


@pytest.mark.parametrize("width", [1440, 390])
def test_nothing_is_clipped_or_sticks_out(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    tables = page.eval_on_selector_all(".scroll:has(.cards)", "all => all.map(e => e.scrollWidth - e.clientWidth)")
    assert len(tables) == 8 and max(tables) <= 0
    cut = "cells => cells.filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.textContent)"
    assert page.eval_on_selector_all(".cards td", cut) == []


def previewed() -> Preview:
    """Return what a preview would have found of the study in the current folder, with long words where any may be."""
    photos = read_manifest(paths.PHOTOS_MANIFEST)
    uses = {"LlavaNextForConditionalGeneration": NetworkUse(12345, 678901, 0, 4321.0, 6 * 2**30, 40 * 2**30)}
    measured = Measured(9.0, 5000.0, 600, uses)
    answer = FilterAnswer(True, {"attribute": 0.91, "class": 0.82, "possibility": 0.73}, 0.9)
    cells = []
    for attribute, feasibility in itertools.product(("color", "texture"), FEASIBILITIES):
        rows = read_manifest(paths.edit_folder(attribute, feasibility) / "manifest.parquet")
        spec = AttributeSpec(name="lava", phrase="lava")
        jobs = [EditJob(photo, "0", attribute, feasibility, 0, spec, INJECTION, 0) for photo in photos]
        edits = [Edit(job, (Attempt(job, 0, 12, "k", "a", answer),)) for job in jobs]
        strength = Strength(delta_e=31.0, untouched=0.04, lost=0.02, same=False)
        records = [
            dataclasses.replace(row, image_id=job.image_id, attempts=attempts_json(edit, {}))
            for row, job, edit in zip(rows, jobs, edits)
        ]
        shown = [PreviewedEdit(edit, strength, answer) for edit in edits]
        thresholds = dict.fromkeys(answer.scores, 0.5)
        cells.append(
            PreviewedCell(attribute, feasibility, thresholds, shown, [], records, measured, measured, 1e6, 1e6)
        )
    note = "scattered: its largest fragment is 12.34% of it, 40.00% are needed"
    masks = FoundMasks([dataclasses.replace(photo, status="failed", note=note) for photo in photos], measured)
    chances = [0.12, 0.99, None, 1.0]
    forecast = [
        Finding("estimate", "disk", "note", "84.0 GB in data/ and models/, as much again in DVC's cache where the file "
                "system cannot link files, 120.0 GB in .work/; 3.1 GB free here")
    ]  # fmt: skip
    return Preview("<b>pets</b>", photos, masks, cells, chances, forecast, warn(masks, cells, chances))


@pytest.mark.parametrize("width", [1440, 390])
def test_nothing_of_a_preview_is_clipped_or_sticks_out(tab: Any, finished_study: Path, width: int) -> None:
    written = write_preview(previewed())
    tab.set_viewport_size({"width": width, "height": 900})
    tab.goto((finished_study / written).as_uri())
    tab.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert tab.locator(".edit[data-status]").count() == 24
    cut = "cells => cells.filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.textContent)"
    assert tab.eval_on_selector_all(".cards td, .edit, main li", cut) == []
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    tables = tab.eval_on_selector_all(".scroll:has(.cards)", "all => all.map(e => e.scrollWidth - e.clientWidth)")
    assert len(tables) == 3 and max(tables) <= 0
    assert tab.evaluate("window.hit") is None and "<b>pets</b>" in tab.inner_text("h1")


def test_everything_can_be_reached_by_keyboard_and_named(page: Any) -> None:
    unnamed = """all => all.filter(e => !(e.getAttribute("aria-label") || e.closest("label") || e.textContent.trim()))
                 .map(e => e.outerHTML)"""
    assert page.eval_on_selector_all("input, select, button, summary, [tabindex]", unnamed) == []
    assert page.eval_on_selector_all("img", "all => all.filter(e => !e.alt).length") == 0
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"


def test_without_javascript_everything_is_shown(browser: Any, report: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report.as_uri(), timeout=PATIENCE)
    assert page.locator(".edit:visible").count() == 12
    assert not page.locator("#filters").is_visible() and page.locator(".slider:visible").count() == 0
    photo, edit = (page.locator(f".edit .{kind} img").first.bounding_box() for kind in ("before", "after"))
    assert photo["x"] + photo["width"] <= edit["x"]  # side by side, not one over the other
    context.close()
