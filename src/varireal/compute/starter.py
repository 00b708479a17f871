"""A stage whose DVC is gone ends and leaves its outputs alone: a newer run may be writing them by now."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

from varireal.compute.interruption import Interrupted
from varireal.errors import UserError

STAGE = "DVC_STAGE"  # environment: the stage that DVC runs by this process
LOOK_EVERY = 0.5  # seconds; DVC itself takes longer to start anew
SHELLS = {"sh", "bash", "dash", "zsh", "fish", "ksh"}


@dataclasses.dataclass(frozen=True)
class Starter:
    """The run of DVC that started this process."""

    name: str  # no other run's
    words: tuple[str, ...]  # of its command line
    began: float  # when this process did, by time.time()


def starting_dvc() -> Starter | None:
    """Return the run of DVC that this process is a stage of, or None where DVC is gone."""
    import psutil

    if not (line := _starter()):
        return None
    try:
        dvc = psutil.Process(line[-1])
        return Starter(f"{dvc.pid} {dvc.create_time()}", tuple(dvc.cmdline()), psutil.Process().create_time())
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return None


@contextlib.contextmanager
def ending_without_dvc() -> Iterator[None]:
    """End the block as SIGTERM does, finishing what is running, once the DVC that started this process is gone.

    DVC that is killed alone leaves its stages behind. Use it within
    :func:`varireal.compute.interruption.ending_on_signals`.

    Raises:
        UserError: DVC is gone.
    """
    if not (stage := os.environ.get(STAGE)) or threading.current_thread() is not threading.main_thread():
        yield
        return
    starter, gone, done = _starter(), threading.Event(), threading.Event()

    def watch() -> None:
        while not done.wait(LOOK_EVERY):
            if _starter() != starter:
                gone.set()
                os.kill(os.getpid(), signal.SIGTERM)
                return

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    except Interrupted:
        if not gone.is_set():
            raise
        raise UserError(
            f"DVC ended without its stage {stage}, which leaves its outputs alone, as another run may write them now; "
            "run the same command again: finished work is kept"
        ) from None
    finally:
        done.set()


def _starter() -> tuple[int, ...]:
    """Return the process that started this one, and the one behind it where that is a shell; () if one is gone."""
    import psutil

    try:
        parent = psutil.Process(os.getppid())
        return (parent.pid, parent.ppid()) if Path(parent.name()).stem in SHELLS else (parent.pid,)
    except psutil.NoSuchProcess:
        return ()
