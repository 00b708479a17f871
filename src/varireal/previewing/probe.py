"""An engine that tells which networks its workers called, and what its filter says of photos that nobody edited."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from varireal.compute.engines import Engine, Pool, SetAside, Worker
from varireal.editing.attempts import IMAGE, Attempt, EditWorker, FilterAnswer
from varireal.editing.pictures import PictureWorker
from varireal.networks.calls import Uses, add_uses, recording
from varireal.segmentation.run import SegmentWorker


@dataclasses.dataclass
class Measured:
    """What the workers of some pools did."""

    loading: float = 0.0  # seconds of the slowest worker before its first batch
    seconds: float = 0.0  # of all batches, of one worker
    items: int = 0
    uses: Uses = dataclasses.field(default_factory=dict)  # of networks, by kind
    photos: dict[str, FilterAnswer] = dataclasses.field(default_factory=dict)  # the filter's answers, by edit

    def add(self, other: Measured) -> None:
        """Add what was done at another time."""
        self.loading = max(self.loading, other.loading)
        self.seconds, self.items = self.seconds + other.seconds, self.items + other.items
        add_uses(self.uses, other.uses)
        self.photos |= other.photos

    @property
    def per_item(self) -> float:
        """Return the seconds of an item; 0 where nothing was done."""
        return self.seconds / self.items if self.items else 0.0


@dataclasses.dataclass(frozen=True)
class _Probed:
    """A result; the first one of a batch says what was measured of the batch."""

    result: Any
    measured: Measured | None


class ProbedWorker:
    """Does what another worker does, and measures it; what it loads at first is measured apart."""

    def __init__(self, worker: Worker[Any, Any]) -> None:
        self._worker = worker

    def __call__(self, items: Sequence[Any]) -> list[_Probed]:
        measured, start = Measured(items=len(items)), time.perf_counter()
        if isinstance(self._worker, EditWorker):
            self._worker.load(editor=any(IMAGE not in each.files for each in items))
        elif isinstance(self._worker, SegmentWorker | PictureWorker):
            self._worker.load()
        measured.loading = time.perf_counter() - start
        with recording() as measured.uses:
            start = time.perf_counter()
            results = self._worker(items)
            measured.seconds = time.perf_counter() - start
        if isinstance(self._worker, EditWorker):
            measured.photos = _unedited(self._worker, items)
        return [_Probed(result, None if place else measured) for place, result in enumerate(results)]


def _unedited(worker: EditWorker, items: Sequence[Attempt]) -> dict[str, FilterAnswer]:
    """Return the filter's answers about photos as they are, at the first attempt at each edit."""
    first = [attempt for attempt in items if attempt.number == 0]
    return dict(zip((attempt.job.image_id for attempt in first), worker.judge_photos(first))) if first else {}


class ProbedEngine:
    """Wraps an engine; what runs on it sees no difference."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._measured = Measured()

    def device(self) -> str:
        return self._engine.device()

    @contextlib.contextmanager
    def open(self, worker: Worker[Any, Any], most: int, **options: Any) -> Iterator[Pool[Any, Any]]:
        with self._engine.open(ProbedWorker(worker), most, **options) as pool:
            yield _ProbedPool(pool, self._measured)

    def take(self) -> Measured:
        """Return what was measured since the last call of this method."""
        taken = dataclasses.replace(self._measured)
        self._measured.__init__()
        return taken


class _ProbedPool:
    def __init__(self, pool: Pool[Any, Any], measured: Measured) -> None:
        self._pool, self._measured = pool, measured

    def run(self, batches: Iterable[Sequence[Any]]) -> Iterator[tuple[int, list[Any]]]:
        for number, results in self._pool.run(batches):
            for each in results:
                if not isinstance(each, SetAside) and each.measured is not None:
                    self._measured.add(each.measured)
            yield number, [each if isinstance(each, SetAside) else each.result for each in results]
