"""Progress in a log, where no bar can move."""

from __future__ import annotations

import pytest

from varireal.compute.progress import progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Stop the clock; its one item is the seconds it shows."""
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def lines(clock: list[float], capsys: pytest.CaptureFixture[str], seconds: float, total: int = 40) -> list[str]:
    """Return what is written while items take so many seconds each."""
    with progress("edit", total) as advance:
        for _ in range(total):
            clock[0] += seconds
            advance(1)
    return capsys.readouterr().err.splitlines()


def test_long_work_shows_a_line_every_tenth_with_what_is_left(clock, capsys):
    written = lines(clock, capsys, 1.0)
    assert len(written) == 10
    assert written[0] == "edit: 4/40, 4 s passed, about 36 s left"
    assert written[-1] == "edit: 40/40, 40 s passed, about 0 s left"


def test_starting_up_is_not_taken_for_the_pace(clock, capsys):
    """Twenty seconds go by before the first four of forty items; then each four take one second, item by item."""
    with progress("edit", 40) as advance:
        clock[0] += 19.0
        for _ in range(10):
            clock[0] += 1.0
            for _ in range(4):
                advance(1)
    written = capsys.readouterr().err.splitlines()
    assert written[:2] == ["edit: 4/40, 20 s passed", "edit: 9/40, 22 s passed, about 12 s left"]


def test_quick_work_shows_no_line_before_two_seconds_and_its_end(clock, capsys):
    assert lines(clock, capsys, 0.01) == ["edit: 40/40, 0 s passed, about 0 s left"]
    assert lines(clock, capsys, 0.125) == [
        "edit: 16/40, 2 s passed, about 3 s left",
        "edit: 32/40, 4 s passed, about 1 s left",
        "edit: 40/40, 5 s passed, about 0 s left",
    ]
