"""What is missing is done side by side, kept piece by piece, and nothing is left out silently."""

from __future__ import annotations

import dataclasses
import os
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest

from varireal.compute import missing as tested
from varireal.compute.missing import finish, missing_pieces
from varireal.compute.processes import available_cores
from varireal.compute.progress import catching_up, report_units
from varireal.config import ComputeConfig
from varireal.errors import UserError
from varireal.store import FolderStore, content_key

several = pytest.mark.skipif(available_cores() < 2, reason="needs two cores")


@dataclasses.dataclass(frozen=True)
class Count:
    """A piece of work: to count to a number."""

    units: int

    @property
    def key(self) -> str:
        return content_key({"count": self.units})

    @property
    def name(self) -> str:
        return f"counting to {self.units}"


class Counter:
    """Counts in a file that a later try goes on with; is killed, or has a defect, at a number."""

    def __init__(self, store: FolderStore, die_at: int | None = None, defect: int | None = None) -> None:
        self._store, self._die_at, self._defect = store, die_at, defect

    def __call__(self, items: Sequence[Count]) -> list[dict[str, bytes]]:
        return [self._count(item) for item in items]

    def _count(self, item: Count) -> dict[str, bytes]:
        if item.units == self._defect:
            raise ZeroDivisionError("a defect")
        file = self._store.unfinished(item.key) / "count"
        file.parent.mkdir(parents=True, exist_ok=True)
        start = int(file.read_text()) if file.exists() else 0
        for number in range(start + 1, item.units + 1):
            file.write_text(str(number))
            report_units(number)
            if number == self._die_at and not start:
                os.kill(os.getpid(), signal.SIGKILL)
        return {"result": f"{item.units} from {start}".encode()}


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore("count", tmp_path)


@pytest.fixture
def units(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What the progress is told."""
    told: list[int] = []

    class Told:
        def __init__(self, description: str, total: int) -> None:
            told.append(-total)

        def __enter__(self):
            return told.append

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr(tested, "progress", Told)
    return told


def do(plan: list[Count], store: FolderStore, worker: Counter, workers: int) -> None:
    compute = ComputeConfig(device="cpu", workers=workers)
    finish(missing_pieces(plan, store, "%d of %d"), store, lambda _: worker, compute, (), "count")


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=several)])
def test_each_missing_piece_is_done_once_and_its_units_are_shown_while_it_runs(store, units, workers):
    plan = [Count(3), Count(4), Count(3)]
    do(plan, store, Counter(store), workers)
    assert units[0] == -7 and sum(units[1:]) == 7 and units[1:] == [1] * 7
    assert [store.require(piece.key).read("result") for piece in plan] == [b"3 from 0", b"4 from 0", b"3 from 0"]
    assert not list(store.root.glob("count-unfinished/*/*"))
    do([*plan, Count(5)], store, Counter(store), workers)
    assert units[8] == -5 and sum(units[9:]) == 5
    assert [pieces for pieces, _ in store.times()] == [2, 1] and all(0 <= seconds < 60 for _, seconds in store.times())


def test_what_a_run_left_unfinished_beside_a_finished_piece_is_dropped(store):
    store.put({Count(2).key: {"result": b""}})
    store.unfinished(Count(2).key).mkdir(parents=True)
    assert missing_pieces([Count(2)], store, "%d of %d") == []
    assert not store.unfinished(Count(2).key).exists()


@several
def test_a_piece_whose_worker_is_killed_goes_on_elsewhere_and_no_unit_is_shown_twice(store, units):
    do([Count(2), Count(6)], store, Counter(store, die_at=4), 2)
    assert store.require(Count(6).key).read("result") == b"6 from 4"
    assert units[0] == -8 and sum(units[1:]) == 8 and min(units[1:]) == 1


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=several)])
def test_a_piece_that_cannot_be_done_ends_the_stage_after_the_others_are_kept(store, workers):
    plan = [Count(2), Count(3), Count(4)]
    with pytest.raises(UserError, match=r"1 of 3 pieces .* \(the first, counting to 3: set aside after 3 tries: Zero"):
        do(plan, store, Counter(store, defect=3), workers)
    assert [store.get(piece.key) is None for piece in plan] == [False, True, False]


def test_progress_never_goes_back():
    shown: list[int] = []
    show = catching_up(shown.append)
    for done in (1, 3, 2, 3, 5):
        show(done)
    assert shown == [1, 2, 2]
