from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from varireal.compute.processes import (
    SMALLEST_POOL,
    available_cores,
    map_in_order,
    run_as_team,
    worker_plan,
)
from varireal.errors import UserError

HERE = Path(__file__).parent


def tell(folder: str, units: int, *, report) -> None:
    """Write this process's number and what it knows of its team, and report unit after unit."""
    rank, size, port = (os.environ[name] for name in ("RANK", "WORLD_SIZE", "MASTER_PORT"))
    Path(folder, rank).write_text(f"{os.getpid()} {rank} {size} {port}")
    for _ in range(units):
        report(1)


def refuse(*_, report) -> None:
    raise UserError("the disk is full")


def die(*_, report) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def crash(*_, report) -> None:
    raise ZeroDivisionError("a defect")


def square(number: int) -> tuple[int, int]:
    return number * number, os.getpid()


def refuse_seven(number: int) -> int:
    if number == 7:
        raise UserError("no sevens")
    return number


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    """Let the new processes find this module by name."""
    monkeypatch.setattr(sys, "path", [str(HERE), *sys.path])


def test_every_member_of_a_team_knows_its_place_and_all_units_are_counted(tmp_path):
    counts: list[int] = []
    run_as_team("test_processes:tell", 2, (str(tmp_path), 3), counts.append, fork=True)
    assert sum(counts) == 6
    places = [path.read_text().split() for path in sorted(tmp_path.iterdir())]
    assert [place[1:3] for place in places] == [["0", "2"], ["1", "2"]]
    assert len({pid for pid, *_ in places}) == 2 and len({port for *_, port in places}) == 1
    assert str(os.getpid()) not in {pid for pid, *_ in places}


@pytest.mark.parametrize(
    ("work", "error", "message"),
    [
        ("refuse", UserError, "the disk is full"),
        ("die", UserError, r"killed \(signal 9\), perhaps for memory"),
        ("crash", RuntimeError, "failed with exit code 1"),
    ],
)
def test_failures_of_a_team_reach_the_caller(work, error, message):
    with pytest.raises(error, match=message):
        run_as_team(f"test_processes:{work}", 2, (), lambda units: None, fork=True)


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


def test_results_come_in_order_from_other_processes():
    results = list(map_in_order(square, range(100), workers=2))
    assert [value for value, _ in results] == [number * number for number in range(100)]
    assert os.getpid() not in {process for _, process in results}


def test_few_items_or_one_worker_stay_in_this_process():
    few = list(map_in_order(square, range(SMALLEST_POOL - 1), workers=2))
    alone = list(map_in_order(square, range(100), workers=1))
    assert {process for _, process in few + alone} == {os.getpid()}


@pytest.mark.parametrize("workers", [1, 2])
def test_an_exception_of_an_item_is_raised(workers):
    with pytest.raises(UserError, match="no sevens"):
        list(map_in_order(refuse_seven, range(40), workers))
