"""Worker processes: the same results whatever their number, lost batches tried again, poison items set aside."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.compute.engines.workers import ILLEGAL_ACCESS, Failing, Products, Squares, Sticky, Together

from varireal.compute.engines import SetAside, check_set_aside
from varireal.compute.engines.local import LocalEngine
from varireal.compute.processes import available_cores, start_process
from varireal.config import ComputeConfig
from varireal.editing import cell
from varireal.errors import UserError
from varireal.evaluation import predict
from varireal.measuring import work as measuring_work
from varireal.segmentation import run as segmentation
from varireal.training import worker as training_worker

several = pytest.mark.skipif(available_cores() < 2, reason="needs two cores")
BATCHES = [[0, 1, 2], [3, 4, 5], [6, 7]]


def engine(workers: int, *modules: str) -> LocalEngine:
    return LocalEngine(ComputeConfig(device="cpu", workers=workers), modules)


def run(worker, batches, workers: int, *modules: str) -> dict[int, list]:
    with engine(workers, *modules).open(worker, len(batches)) as pool:
        return dict(pool.run(batches))


def test_one_worker_is_this_process() -> None:
    done = run(Squares(), BATCHES, 1)
    assert done == {k: [(item * item, os.getpid()) for item in batch] for k, batch in enumerate(BATCHES)}


@several
def test_several_workers_are_other_processes_and_serve_several_rounds(tmp_path: Path) -> None:
    with engine(2).open(Together(tmp_path), 3) as pool:
        first, second = dict(pool.run(BATCHES)), dict(pool.run([[9]]))
    assert {k: [square for square, _ in results] for k, results in first.items()} == {
        0: [0, 1, 4], 1: [9, 16, 25], 2: [36, 49],
    }  # fmt: skip
    pids = {pid for results in first.values() for _, pid in results}
    assert len(pids) == 2 and os.getpid() not in pids
    assert second[0][0][0] == 81 and second[0][0][1] in pids


@several
def test_no_more_batches_are_drawn_than_there_are_workers() -> None:
    drawn, running = 0, []

    def batches():
        nonlocal drawn
        for number in range(8):
            drawn += 1
            yield [number]

    with engine(2).open(Squares(), 8) as pool:
        for done, _ in enumerate(pool.run(batches()), start=1):
            running.append(drawn - done)
    assert max(running) <= 2 and drawn == 8


@several
def test_a_worker_has_one_thread_whether_it_is_alone_or_not() -> None:
    import torch

    before = torch.get_num_threads()
    try:
        alone = run(Products(), BATCHES, 1, "torch")
    finally:
        torch.set_num_threads(before)
    assert {result[:2] for results in alone.values() for result in results} == {(1, 1)}
    assert run(Products(), BATCHES, 2, "torch") == alone


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=several)])
def test_an_item_that_always_fails_is_set_aside_and_its_neighbours_are_done(workers: int) -> None:
    done = run(Failing("raise", 4), BATCHES, workers)
    assert done[0] == [0, -1, -2] and done[2] == [-6, -7]
    assert done[1][0] == -3 and done[1][2] == -5
    assert done[1][1] == SetAside("set aside after 3 tries: ZeroDivisionError: a defect")


@several
def test_a_worker_that_dies_at_an_item_costs_no_other_item() -> None:
    done = run(Failing("die", 7), BATCHES, 2)
    assert done[0] == [0, -1, -2] and done[1] == [-3, -4, -5] and done[2][0] == -6
    assert done[2][1].note.startswith("set aside after 3 tries: its worker process was killed (signal 9)")


@several
@pytest.mark.parametrize("how", ["raise", "die"])
def test_a_batch_that_was_lost_once_is_done_by_another_try(how: str, tmp_path: Path) -> None:
    done = run(Failing(how, 4, once=tmp_path / "failed"), BATCHES, 2)
    assert done == {0: [0, -1, -2], 1: [-3, -4, -5], 2: [-6, -7]}


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=several)])
def test_what_a_user_has_to_mend_ends_the_run_at_once(workers: int) -> None:
    with pytest.raises(UserError, match="the photo cannot be read"):
        run(Failing("user", 4), BATCHES, workers)


@several
def test_a_broken_accelerator_costs_a_process_and_no_item() -> None:
    """Each process does three batches; without fresh ones all but 6 of the 20 batches would be set aside."""
    batches = [[2 * number, 2 * number + 1] for number in range(20)]
    done = run(Sticky(3), batches, 2)
    assert {number: [result[0] for result in results] for number, results in done.items()} == {
        number: [-item for item in batch] for number, batch in enumerate(batches)
    }
    assert len({pid for results in done.values() for _, pid in results}) >= 7


@several
def test_an_item_that_breaks_the_accelerator_is_set_aside_alone() -> None:
    done = run(Sticky(100, poison=4), BATCHES, 2)
    values = [result if isinstance(result, SetAside) else result[0] for k in sorted(done) for result in done[k]]
    aside = SetAside(f"set aside after 3 tries: RuntimeError: {ILLEGAL_ACCESS}")
    assert values == [0, -1, -2, -3, aside, -5, -6, -7]


def test_a_broken_accelerator_of_this_process_ends_the_run_with_what_is_finished() -> None:
    finished = []
    with engine(1).open(Sticky(3), 100) as pool, pytest.raises(UserError) as error:
        for number, _ in pool.run([[item] for item in range(100)]):
            finished.append(number)
    assert finished == [0, 1, 2]
    assert "the accelerator failed (RuntimeError: CUDA error: an illegal memory" in str(error.value)
    assert str(error.value).endswith("run the same command again")


def test_a_single_worker_on_a_gpu_is_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("varireal.compute.devices.resolve_device", lambda _: "cuda")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    batches = [[number] for number in range(5)]
    with LocalEngine(ComputeConfig(), ("math",)).open(Sticky(3), 5) as pool:
        done = dict(pool.run(batches))
    pids = {pid for results in done.values() for _, pid in results}
    assert len(done) == 5 and len(pids) == 2 and os.getpid() not in pids


class AfterTen:
    """Fails at every item from 10 on."""

    def __call__(self, items: list[int]) -> list[int]:
        if items[0] >= 10:
            raise ValueError("a disk that is gone")
        return items


def test_many_hopeless_items_in_a_row_end_the_run_in_one_line() -> None:
    finished = []
    with engine(1).open(AfterTen(), 400) as pool, pytest.raises(UserError) as error:
        for number, _ in pool.run([[item] for item in range(400)]):
            finished.append(number)
    assert finished == list(range(17))  # ten, and the seven that were set aside before the eighth
    assert "8 items in a row could not be done" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("set_aside", "items", "most", "ends"),
    [(0, 400, 0.01, False), (4, 400, 0.01, False), (5, 400, 0.01, True), (388, 400, 0.01, True), (1, 9, 0.01, False),
     (2, 9, 0.01, True), (1, 400, 0.0, True), (388, 400, 1.0, False)],
)  # fmt: skip
def test_no_more_than_a_share_of_the_items_may_be_set_aside(
    set_aside: int, items: int, most: float, ends: bool
) -> None:
    notes = [f"photo {number}" for number in range(set_aside)]
    if not ends:
        check_set_aside(notes, items, most, "edits")
        return
    with pytest.raises(UserError, match=rf"{set_aside} of {items} edits were set aside \(the first: photo 0\)"):
        check_set_aside(notes, items, most, "edits")


def test_workers_that_do_nothing_at_all_end_the_run() -> None:
    with pytest.raises(UserError, match=r"no worker has done a single batch, .*ZeroDivisionError"):
        run(Failing("raise", None), BATCHES, 1)


def test_nothing_is_started_for_no_batch() -> None:
    assert run(Failing("die", None), [], 1) == {}
    with engine(2).open(Failing("die", None), 5) as pool:
        assert dict(pool.run([])) == {}


PRELOADED = {
    "edit": sorted({name for names in cell.NETWORK_MODULES.values() for name in names}),
    "segment": segmentation.NETWORK_MODULES,
    "train": training_worker.NETWORK_MODULES,
    "evaluate": predict.NETWORK_MODULES,
    "measure": measuring_work.NETWORK_MODULES,
}


class Started(Exception):
    """A process would have been started."""


@pytest.mark.parametrize("stage", PRELOADED)
@pytest.mark.parametrize("device", ["cuda", "cpu"])
def test_workers_on_gpus_are_never_forked(stage: str, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library among those imports may call CUDA, as diffusers does, after which no fork of the process can."""
    forked, preloaded = [], []

    def start(*_: object, fork: bool) -> None:
        forked.append(fork)
        raise Started

    monkeypatch.setattr("varireal.compute.engines.local.start_process", start)
    monkeypatch.setattr("varireal.compute.engines.local.warm_up", lambda *modules: preloaded.extend(modules))
    monkeypatch.setattr("varireal.compute.processes.available_cores", lambda: 2)
    monkeypatch.setattr("varireal.compute.devices.resolve_device", lambda _: device)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    modules = tuple(PRELOADED[stage])
    with pytest.raises(Started), LocalEngine(ComputeConfig(), modules).open(Squares(), 2) as pool:
        next(pool.run([[1], [2]]))
    assert forked == [device == "cpu"]
    assert set(modules) <= set(preloaded) if device == "cpu" else not preloaded


@pytest.mark.parametrize(
    ("settings", "batches", "forked"),
    [
        ({}, 2, True),
        ({"num_threads": 2}, 2, True),
        ({"num_threads": 4}, 2, False),
        ({"workers": 1}, 2, False),
        ({}, 1, False),
    ],
)
def test_what_workers_need_is_imported_ahead_for_several_only(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, int], batches: int, forked: bool
) -> None:
    """One worker is this process, on four cores as on one: nobody would fork from what was imported."""
    preloaded: list[str] = []
    monkeypatch.setattr("varireal.compute.engines.local.warm_up", lambda *modules: preloaded.extend(modules))
    monkeypatch.setattr("varireal.compute.processes.available_cores", lambda: 4)
    LocalEngine(ComputeConfig(device="cpu", **settings), ("colorsys",)).warm_up(batches)
    assert preloaded == ["colorsys"] * forked


def test_a_process_that_must_not_be_forked_starts_afresh() -> None:
    for fork, kind in ((False, "SpawnProcess"), (True, "ForkServerProcess")):
        process = start_process(os.getpid, fork=fork)
        process.join()
        assert type(process).__name__ == kind and process.exitcode == 0
