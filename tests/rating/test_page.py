"""The rating page in a real browser, from the command to metrics/ratings.json."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner
from sklearn.metrics import cohen_kappa_score

from varireal.commands.ratings import command as ratings_command
from varireal.rating.store import FOLDER, read_ratings

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (pip install -e '.[dev]')")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")]

WAIT = 60_000  # ms, for a machine that is busy
SEEN = "body:has(#picture:not([hidden])) #answers button:enabled"  # the page may be answered
KEYS = "11221 23121 12"  # the first twelve answers
LATER = "21231121"  # the other eight
ANSWERS = {"1": "possible", "2": "impossible", "3": "broken"}


@contextmanager
def serving(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """`varireal rate` in a process of its own: the process, its first line and the page's address."""
    code = [sys.executable, "-m", "varireal", "rate", "--rater", "anna", *arguments]
    # Where the tests run in a shell's background, Ctrl+C is ignored, and a child would inherit that.
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(code, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    signal.signal(signal.SIGINT, previous)
    try:
        line = process.stdout.readline()
        yield process, line, re.search(r"http://\S+", line).group()
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def browser() -> Iterator[playwright.Browser]:
    """One Chromium for all tests here."""
    with playwright.sync_playwright() as driver:
        sandbox = [] if hasattr(os, "geteuid") and os.geteuid() else ["--no-sandbox"]  # root has none
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=sandbox, timeout=WAIT)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: playwright.Browser, finished_study: Path) -> Iterator[playwright.Page]:
    """A page that fails the test for whatever its console complains of and whatever it asks of other machines."""
    problems = []
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.set_default_timeout(WAIT)
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda r: None if r.url.startswith("http://127.0.0.1:") else problems.append(r.url))
    yield page
    page.close()
    assert problems == []


def press(page: playwright.Page, keys: str) -> None:
    """Press keys one by one, each when the picture is there."""
    for key in keys.replace(" ", ""):
        page.wait_for_selector(SEEN)
        with page.expect_response("**/answer"):
            page.keyboard.press(key)


def test_twenty_ratings_by_keyboard_over_a_killed_process(page: playwright.Page) -> None:
    path = FOLDER / "anna.jsonl"
    with serving() as (process, line, url):
        assert line.startswith("0 of 20 answered.")
        page.goto(url)
        press(page, KEYS)
        page.wait_for_selector(SEEN)
        assert page.text_content("#progress") == "13 of 20"
        page.goto("about:blank")  # so that no picture is on its way
        process.send_signal(signal.SIGKILL)
    whole = path.read_bytes()
    path.write_bytes(whole + whole.splitlines()[3][:50])  # as if killed while it wrote

    with serving() as (process, line, url):
        assert line.startswith("12 of 20 answered.")
        page.goto(url)
        page.wait_for_selector(SEEN)
        assert page.text_content("#progress") == "13 of 20"
        press(page, LATER)
        page.wait_for_selector("#done:not([hidden])")
        assert page.text_content("#progress") == "20 of 20 answered" and not page.is_visible("#answers")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0

    ratings = read_ratings(path)
    given = [ANSWERS[key] for key in (KEYS + LATER).replace(" ", "")]
    assert [rating.answer for rating in ratings] == given and len({rating.edit for rating in ratings}) == 20
    done = CliRunner().invoke(ratings_command, [], catch_exceptions=False)
    assert done.exit_code == 0 and "Written to metrics/ratings.json" in done.output
    summary = json.loads(Path("metrics/ratings.json").read_text())
    judged = [(rating.edit.feasibility == "feasible", answer == "possible")
              for rating, answer in zip(ratings, given) if answer != "broken"]  # fmt: skip
    assert len(judged) == 18
    assert summary["all"]["raters"]["anna"]["kappa"] == pytest.approx(cohen_kappa_score(*zip(*judged)), abs=5e-5)
    assert summary["all"]["raters"]["anna"]["broken_share"] == 0.1
    assert {name: each["together"]["rated"] for name, each in summary["attributes"].items()} == {
        "color": 10,
        "texture": 10,
    }


def test_going_back_corrects_by_key_and_by_click(page: playwright.Page) -> None:
    with serving("--attribute", "color", "--count", "3") as (_, line, url):
        assert line.startswith("0 of 3 answered.")
        page.goto(url)
        press(page, "12")
        page.keyboard.press("Backspace")
        page.wait_for_selector(SEEN)
        page.keyboard.press("ArrowLeft")
        page.wait_for_selector(SEEN)
        assert page.text_content("#progress") == "1 of 3" and page.is_disabled("#back")
        assert page.get_attribute("[data-answer=possible]", "aria-pressed") == "true"
        page.keyboard.press("Control+2")  # the browser's own, no answer
        with page.expect_response("**/answer"):
            page.click("[data-answer=broken]")
        page.wait_for_selector(SEEN)
        assert page.text_content("#progress") == "2 of 3"
        assert page.get_attribute("[data-answer=impossible]", "aria-pressed") == "true"
        page.click("#forward")
        page.wait_for_selector(SEEN)
        assert page.text_content("#progress") == "3 of 3" and page.is_disabled("#forward")
    ratings = read_ratings(FOLDER / "anna.jsonl")
    assert [rating.answer for rating in ratings] == ["possible", "impossible", "broken"]
    assert ratings[2].edit == ratings[0].edit and {rating.edit.attribute for rating in ratings} == {"color"}


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (390, 844)])
def test_all_fits_the_screen(page: playwright.Page, width: int, height: int) -> None:
    page.set_viewport_size({"width": width, "height": height})
    with serving("--count", "2") as (_, _, url):
        page.goto(url)
        page.wait_for_selector(SEEN)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for selector in ("#picture", "[data-answer=possible]", "[data-answer=broken]", "#back"):
            box = page.locator(selector).bounding_box()
            assert box["x"] >= 0 and box["x"] + box["width"] <= width and box["y"] + box["height"] <= height, selector


def test_an_answer_that_is_not_stored_is_said_and_asked_again(
    browser: playwright.Browser, finished_study: Path
) -> None:
    page = browser.new_page()
    page.set_default_timeout(WAIT)
    with serving("--count", "4") as (process, _, url):
        page.goto(url)
        page.wait_for_selector(SEEN)
        process.kill()
        process.wait()
        page.keyboard.press("1")
        page.wait_for_selector("#message:not([hidden])")
        assert "was not stored" in page.text_content("#message") and page.text_content("#progress") == "1 of 4"
    page.close()
    assert read_ratings(FOLDER / "anna.jsonl") == []
