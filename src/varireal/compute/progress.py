"""Progress bars with an estimate of the time left, on standard error, and what workers report for them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar

PAUSE = 2.0  # seconds between two lines of a log

_on_units: ContextVar[Callable[[int], None] | None] = ContextVar("on_units", default=None)


@contextlib.contextmanager
def units_to(on_units: Callable[[int], None] | None) -> Iterator[None]:
    """Pass on what :func:`report_units` is told in the block."""
    token = _on_units.set(on_units)
    try:
        yield
    finally:
        _on_units.reset(token)


def report_units(done: int) -> None:
    """Tell whoever shows the progress how many units of the current piece of work are done so far."""
    if (on_units := _on_units.get()) is not None:
        on_units(done)


def catching_up(advance: Callable[[int], None]) -> Callable[[int], None]:
    """Return a function that takes what is done so far and advances by what is new; it never goes back."""
    shown = 0

    def show(done: int) -> None:
        nonlocal shown
        if done > shown:
            advance(done - shown)
            shown = done

    return show


@contextlib.contextmanager
def progress(description: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar while the block runs; call the yielded function with the number of items just finished.

    On a terminal the bar moves; in a log file a line appears about every tenth of the way, if the last one is two
    seconds old, and at the end, so that ``dvc repro`` under CI shows life without filling the log.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    if not console.is_terminal:
        with _log_lines(console, description, total) as advance:
            yield advance
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(description, total=total)
        yield lambda count: bar.advance(task, count)


@contextlib.contextmanager
def _log_lines(console, description: str, total: int) -> Iterator[Callable[[int], None]]:
    start, done, shown = time.monotonic(), 0, 0
    last = start

    def advance(count: int) -> None:
        nonlocal done, shown, last
        done += count
        tenth, now = done * 10 // max(total, 1), time.monotonic()
        if tenth > shown and (now - last >= PAUSE or done >= total):
            shown, last = tenth, now
            passed = now - start
            left = passed / done * (total - done)
            console.print(
                f"{description}: {done}/{total}, {passed:.0f} s passed, about {left:.0f} s left", highlight=False
            )

    yield advance
