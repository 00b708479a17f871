"""Progress bars with an estimate of the time left, on standard error, and what workers report for them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar

PAUSE = 2.0  # seconds between two lines of a log
AT_ONCE = 1.0  # seconds after the first item in which others belong to the same batch

Whole = Callable[[float | None], str]  # seconds left of the stage, if known -> where the whole run is
_whole: ContextVar[Whole | None] = ContextVar("whole", default=None)
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


@contextlib.contextmanager
def whole_as(words: Whole) -> Iterator[None]:
    """Let the bars in the block say where the whole run is, too."""
    token = _whole.set(words)
    try:
        yield
    finally:
        _whole.reset(token)


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
    from rich.console import Console, RenderableType
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

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
    whole = _whole.get()

    class WithWhole(Progress):
        """Has a line about the whole run below the bar, where both would not fit side by side."""

        def get_renderables(self) -> Iterator[RenderableType]:
            yield from super().get_renderables()
            if whole is not None:
                yield Text(whole(self.tasks[0].time_remaining if self.tasks else None))

    with WithWhole(*columns, console=console) as bar:
        task = bar.add_task(description, total=total)
        yield lambda count: bar.advance(task, count)


@contextlib.contextmanager
def _log_lines(console, description: str, total: int) -> Iterator[Callable[[int], None]]:
    start, done, shown, whole = time.monotonic(), 0, 0, _whole.get()
    last = start
    began, first = 0.0, (0, 0.0)  # when the first items were done; how many at once: starting up is no pace

    def advance(count: int) -> None:
        nonlocal done, shown, last, began, first
        done += count
        tenth, now = done * 10 // max(total, 1), time.monotonic()
        began = began or now
        if now - began < AT_ONCE:
            first = (done, now)
        if tenth > shown and (now - last >= PAUSE or done >= total):
            shown, last = tenth, now
            left = (now - first[1]) / (done - first[0]) * (total - done) if done > first[0] else None
            left = 0.0 if done >= total else left
            line = f"{description}: {done}/{total}, {now - start:.0f} s passed"
            line += "" if left is None else f", about {left:.0f} s left"
            console.print(f"{line} · {whole(left)}" if whole else line, highlight=False, soft_wrap=True)

    yield advance
