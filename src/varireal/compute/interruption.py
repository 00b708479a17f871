"""SIGTERM and Ctrl-C: a stage ends without a traceback, with exit code 143 or 130, and keeps what is finished.

Slurm, Kubernetes and spot machines send SIGTERM some time before they kill; a terminal sends SIGINT to every process
of the command, and so to dvc, the stage and its workers alike.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
from collections.abc import Iterator
from types import FrameType

logger = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interrupted(SystemExit):
    """The process was asked to end; its exit code is 128 plus the number of the signal, as shells have it."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.by_user = number == signal.SIGINT


class _Signals:
    """Which signal waits, and how many blocks ask for it to wait; signals belong to a process as a whole."""

    depth = 0
    waiting: int | None = None


def _handle(number: int, _: FrameType | None) -> None:
    if _Signals.depth and _Signals.waiting is None:
        _Signals.waiting = number
        logger.warning("finishing what is running, then ending; once more ends at once")
        return
    raise Interrupted(number)


def _install() -> None:
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as in the background of a shell, or under nohup
            signal.signal(number, _handle)


@contextlib.contextmanager
def ending_on_signals() -> Iterator[None]:
    """Let SIGTERM and Ctrl-C end the block by :class:`Interrupted`, as soon as no :func:`deferring` block runs.

    Does nothing in another than the main thread, where Python takes no signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = [signal.getsignal(number) for number in SIGNALS]
    _Signals.waiting = None
    _install()
    try:
        yield
    finally:
        for number, handler in zip(SIGNALS, before):
            signal.signal(number, handler)


@contextlib.contextmanager
def deferring() -> Iterator[None]:
    """Hold a first signal back until the block calls :func:`check_interruption` or ends; a second one ends at once."""
    _Signals.depth += 1
    try:
        yield
    finally:
        _Signals.depth -= 1
    if not _Signals.depth:
        check_interruption()


def is_interrupted() -> bool:
    """Return whether a signal waits."""
    return _Signals.waiting is not None


def check_interruption() -> None:
    """Raise :class:`Interrupted` if a signal waits."""
    if _Signals.waiting is not None:
        raise Interrupted(_Signals.waiting)


@contextlib.contextmanager
def keeping_handlers() -> Iterator[None]:
    """Put back the handlers of signals that a library replaces in the block."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is not handler:
                signal.signal(number, handler)


def ignore_signals() -> None:
    """Leave SIGTERM and Ctrl-C to the process that this one works for; it ends when that one's pipe is closed."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
