from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from varireal.compute.parallel import available_cores
from varireal.compute.processes import run_side_by_side, worker_plan
from varireal.errors import UserError

HERE = Path(__file__).parent


def count(path: str, units: int, *, report) -> None:
    """Write this process's number, and report unit after unit."""
    Path(path).write_text(str(os.getpid()))
    for _ in range(units):
        report(1)


def refuse(*_, report) -> None:
    raise UserError("the disk is full")


def die(*_, report) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def crash(*_, report) -> None:
    raise ZeroDivisionError("a defect")


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    """Let the new processes find this module by name."""
    monkeypatch.setattr(sys, "path", [str(HERE), *sys.path])


def test_every_share_runs_in_a_process_of_its_own_and_all_units_are_counted(tmp_path):
    counts: list[int] = []
    shares = [(str(tmp_path / name), units) for name, units in (("a", 3), ("b", 4))]
    run_side_by_side("test_processes:count", shares, counts.append)
    assert sum(counts) == 7
    pids = {int((tmp_path / name).read_text()) for name in "ab"}
    assert len(pids) == 2 and os.getpid() not in pids


def test_a_single_share_stays_in_this_process(tmp_path):
    run_side_by_side("test_processes:count", [(str(tmp_path / "a"), 2)], lambda units: None)
    assert int((tmp_path / "a").read_text()) == os.getpid()


@pytest.mark.parametrize(
    ("work", "error", "message"),
    [
        ("refuse", UserError, "the disk is full"),
        ("die", UserError, r"killed \(signal 9\), perhaps for memory"),
        ("crash", RuntimeError, "failed with exit code 1"),
    ],
)
def test_failures_reach_the_caller(work, error, message):
    with pytest.raises(error, match=message):
        run_side_by_side(f"test_processes:{work}", [(0,), (1,)], lambda units: None)


def test_on_a_cpu_cores_are_shared_out_and_an_accelerator_is_not():
    cores = available_cores()
    assert worker_plan(True, None, 100) == (cores, 1)
    assert worker_plan(True, None, 1) == (1, 1)
    assert worker_plan(True, cores, 100) == (1, cores)
    assert worker_plan(True, 10 * cores, 100) == (1, 10 * cores)
    assert worker_plan(False, None, 100) == (1, None)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the setting is glibc's")
def test_kept_memory_is_not_fetched_from_the_system_again():
    program = """
import resource, sys
import numpy as np
from varireal.compute.processes import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        np.ones(2**20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

keep_freed_memory()
faults()
print(faults())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 2000  # the pages of one array, which twenty would fetch twenty times
