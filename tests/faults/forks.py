"""Runs of stages in forks of a process of their own, which has one thread and has imported what is slow.

A fork of the tests' own process would wait for ever for threads of OpenCV, torch or Ray that an earlier test started.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.faults.injection import Fault, be_program

TIMEOUT = 120.0  # seconds until a run counts as hung
SLOW = ("open_clip", "peft", "mlflow", "pandas", "matplotlib.pyplot", "requests", "statsmodels.api", "cv2",
        "varireal.training.loop", "varireal.training.lora", "varireal.evaluation.run", "varireal.measuring.work",
        "varireal.editing.run", "varireal.segmentation.run", "varireal.reporting.page",
        "varireal.tracking.store")  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a run ended."""

    code: int  # as a shell has it
    output: str
    calls: dict[str, int]  # by point; none where it was killed


@dataclasses.dataclass(frozen=True)
class Running:
    """A run that was started: what it is, and the files of what it prints and counts and of its exit code."""

    process: subprocess.Popen[str]  # which forked it
    what: str
    printed: Path
    counted: Path
    ended: Path

    def wait(self) -> Ended:
        """Wait for the end of the run."""
        end = time.monotonic() + TIMEOUT
        while not self.ended.exists():
            assert time.monotonic() < end, f"{self.what} hung: {self.printed.read_text()}"
            assert self.process.poll() is None, "the process that forks has ended"
            time.sleep(0.002)
        calls = json.loads(self.counted.read_text()) if self.counted.exists() else {}
        return Ended(int(self.ended.read_text()), self.printed.read_text(), calls)


class Forks:
    """A process whose forks are the program."""

    def __init__(self, folder: Path, process: subprocess.Popen[str]) -> None:
        self._folder, self._process, self._numbers = folder, process, itertools.count()

    def start(self, stage: Sequence[str], fault: Fault | None = None) -> Running:
        """Start a stage as the program does."""
        number = next(self._numbers)
        files = [self._folder / f"{number}.{kind}" for kind in ("txt", "json", "code")]
        order = {"stage": list(stage), "fault": fault and dataclasses.asdict(fault), "files": [str(f) for f in files]}
        assert self._process.stdin
        print(json.dumps(order), file=self._process.stdin, flush=True)
        return Running(self._process, f"{stage} with {fault}", *files)

    def run(self, stage: Sequence[str], fault: Fault | None = None) -> Ended:
        """Run a stage."""
        return self.start(stage, fault).wait()


@contextlib.contextmanager
def forks(folder: Path) -> Iterator[Forks]:
    """Lend a process that forks, which has this process's working folder and environment.

    Args:
        folder: where what runs print and count is kept.
    """
    one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    environment = {**os.environ, **one_thread, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "tests.faults.forks"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True, env=environment) as process:
        yield Forks(folder, process)
        assert process.stdin
        process.stdin.close()


def main() -> None:
    """Fork for every order that stdin brings."""
    for name in SLOW:
        importlib.import_module(name)
    names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    more = [name for name in names if name != "jemalloc_bg_thd"][1:]  # jemalloc looks after forks itself
    assert not more, f"a fork could wait for the threads {more}"
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who wait for a run
    for line in sys.stdin:
        if os.fork() == 0:
            _watch(json.loads(line))


def _watch(order: dict[str, Any]) -> None:
    """Run the program in a child, and keep its exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    printed, counted, ended = map(Path, order["files"])
    child = os.fork()
    if child == 0:
        be_program(order["stage"], order["fault"] and Fault(**order["fault"]), printed, counted)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    whole = ended.with_suffix(".part")
    whole.write_text(str(code))
    whole.replace(ended)
    os._exit(0)


if __name__ == "__main__":
    main()
