"""An engine that tells how long its workers took, around whatever engine the settings name."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from varireal.compute.engines import Engine, Pool, SetAside, Worker


@dataclasses.dataclass(frozen=True)
class ClockedBatch:
    """A batch that a worker did."""

    worker: str
    items: int
    seconds: float
    steady: bool  # not the first in its process, which loads networks and warms the device up


@dataclasses.dataclass(frozen=True)
class _ClockedResult:
    """A result; the first one of a batch says how long the batch took, once or, while warming up, twice."""

    result: Any
    batches: tuple[ClockedBatch, ...]


class ClockedWorker:
    """Does what another worker does, its first batch twice: once to load and warm up, once to be timed."""

    def __init__(self, worker: Worker[Any, Any]) -> None:
        self._worker = worker
        self._warm = False

    def __call__(self, items: Sequence[Any]) -> list[_ClockedResult]:
        batches: list[ClockedBatch] = []
        results: list[Any] = []
        for steady in (True,) if self._warm else (False, True):
            start = time.perf_counter()
            results = self._worker(items)
            seconds = time.perf_counter() - start
            batches.append(ClockedBatch(f"{socket.gethostname()} {os.getpid()}", len(items), seconds, steady))
        self._warm = True
        return [_ClockedResult(result, () if place else tuple(batches)) for place, result in enumerate(results)]


class ClockedEngine:
    """Wraps an engine; what runs on it sees no difference."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.batches: list[ClockedBatch] = []  # of all pools, as they come

    def device(self) -> str:
        return self._engine.device()

    @contextlib.contextmanager
    def open(self, worker: Worker[Any, Any], most: int, **options: Any) -> Iterator[Pool[Any, Any]]:
        with self._engine.open(ClockedWorker(worker), most, **options) as pool:
            yield _ClockedPool(pool, self.batches)

    def take(self) -> list[ClockedBatch]:
        """Return the batches since the last call of this method."""
        taken, self.batches[:] = list(self.batches), []
        return taken


class _ClockedPool:
    def __init__(self, pool: Pool[Any, Any], batches: list[ClockedBatch]) -> None:
        self._pool, self._clocked = pool, batches

    def run(self, batches: Iterable[Sequence[Any]]) -> Iterator[tuple[int, list[Any]]]:
        for number, results in self._pool.run(batches):
            for each in results:
                if not isinstance(each, SetAside):
                    self._clocked += each.batches
            yield number, [each if isinstance(each, SetAside) else each.result for each in results]


@dataclasses.dataclass(frozen=True)
class PoolTime:
    """What the workers of a pool did while they were clocked."""

    per_item: float = 0.0  # seconds of one worker
    seconds: float = 0.0  # of the busiest worker, without loading and warming up
    workers: int = 1


def pool_time(batches: Sequence[ClockedBatch], items: int) -> PoolTime:
    """Sum up the batches of a pool that did so many different items, each once while its worker was steady.

    A worker's first batch was done twice. The first time counts like the second; what it took longer is loading.
    """
    if not batches:
        return PoolTime()
    by_worker: dict[str, list[ClockedBatch]] = {}
    for batch in batches:
        by_worker.setdefault(batch.worker, []).append(batch)
    steady = {name: [batch.seconds for batch in own if batch.steady] for name, own in by_worker.items()}
    return PoolTime(
        per_item=sum(map(sum, steady.values())) / items,
        seconds=max(sum(own) + own[0] for own in steady.values()),
        workers=len(by_worker),
    )
