"""What spreads batches over workers, as the rest of the package sees it, and how lost batches are tried again.

Which worker does a batch never shows in its results: batches are cut by the caller, and every worker on a CPU has the
same number of threads. A batch whose worker was lost, or that raised an error, is tried again on whatever worker is
free; after three tries it is split until the item that cannot be done is alone, and that item is set aside. A process
whose accelerator failed does no further batch: a fresh one takes its place.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Generic, Protocol, TypeVar

from varireal.compute.interruption import check_interruption, is_interrupted
from varireal.errors import UserError

logger = logging.getLogger(__name__)

Item = TypeVar("Item")
Taken = TypeVar("Taken", contravariant=True)  # items
Result = TypeVar("Result")

TRIES = 3  # of a batch, before it is split; every item of a batch that is set aside has had so many
MOST_HOPELESS = 3  # items set aside before a single batch was done: it is not the items, then
NOTHING_DONE = "no worker has done a single batch"
MOST_IN_A_ROW = 8  # items set aside, later, with nothing done between them: the same


class Worker(Protocol[Taken, Result]):
    """Does batches of items. It is pickled before its first call, and loads its networks in the process of that.

    While a batch runs it may call :func:`varireal.compute.progress.report_units`.
    """

    def __call__(self, items: Sequence[Taken]) -> list[Result]:
        """Return a result per item, in their order.

        Raises:
            UserError: something that a user has to mend; it ends the run.
        """
        ...


@dataclasses.dataclass(frozen=True)
class SetAside:
    """What stands in the place of the result of an item that could not be done."""

    note: str


class Pool(Protocol[Taken, Result]):
    """Workers that are loaded at the first batch and kept until the pool is left."""

    def run(self, batches: Iterable[Sequence[Taken]]) -> Iterator[tuple[int, list[Result | SetAside]]]:
        """Yield each batch's number and its results, as they come.

        No more batches are drawn than there are workers, so neither items nor results pile up.

        Raises:
            UserError: raised by a worker, or no worker does a single batch.
            Interrupted: a signal asked to end; the batches that were running have been yielded.
        """
        ...


class Engine(Protocol):
    """A way to spread batches over processors: see `ENGINES`."""

    def device(self) -> str:
        """Return where the workers' networks run: ``cpu``, ``mps``, ``cuda`` (one GPU a worker) or a certain one."""
        ...

    def open(
        self,
        worker: Worker[Item, Result],
        most: int,
        *,
        on_units: Callable[[int, int], None] | None = None,
        finish_running: bool = True,
    ) -> contextlib.AbstractContextManager[Pool[Item, Result]]:
        """Return a pool for up to ``most`` batches at a time.

        Args:
            on_units: gets a batch's number and how many of its units are done, whenever its worker reports them; a
                batch that is tried again reports from the beginning. Not every engine passes reports on.
            finish_running: at a signal to end wait for the batches that run; false: end at once.
        """
        ...


@dataclasses.dataclass(frozen=True)
class Lost:
    """A batch was not done: its worker is gone, or raised an error that no user can mend."""

    reason: str
    broken: bool = False  # the process that tried it can use its accelerator no longer


class Crew(Protocol):
    """The workers of one engine, beneath a pool: takes one batch per idle worker and tells how each ended."""

    def idle(self) -> bool:
        """Return whether a worker can take a batch now; where none has one, wait until one can."""
        ...

    def send(self, ticket: int, items: Sequence[Any]) -> None:
        """Give a batch to an idle worker."""

    def receive(self, on_units: Callable[[int, int], None]) -> tuple[int, list[Any] | Lost] | None:
        """Wait for one of the batches that were sent, or until another worker is idle; lost workers are replaced.

        Meanwhile ``on_units`` gets the tickets of batches and how many units of them are done, where workers report.
        """

    def close(self) -> None:
        """End all workers."""


@dataclasses.dataclass
class _SubBatch:
    """A batch, or a part of one that was split."""

    number: int  # of the batch
    places: list[int]  # of its items in the batch
    items: list[Any]
    tries: int = 0

    def halves(self) -> list[_SubBatch]:
        middle = len(self.items) // 2
        return [
            _SubBatch(self.number, self.places[cut], self.items[cut], self.tries - 1)
            for cut in (slice(middle), slice(middle, None))
        ]


class CrewPool(Generic[Item, Result]):
    """A pool over any crew."""

    def __init__(self, crew: Crew, on_units: Callable[[int, int], None] | None = None) -> None:
        self._crew = crew
        self._on_units = on_units or (lambda number, done: None)
        self._done_any = False
        self._hopeless = 0  # items set aside since a batch was last done

    def run(self, batches: Iterable[Sequence[Item]]) -> Iterator[tuple[int, list[Result | SetAside]]]:
        source = enumerate(batches)
        again: collections.deque[_SubBatch] = collections.deque()
        running: dict[int, _SubBatch] = {}
        results: dict[int, dict[int, Any]] = {}  # of batches that are not whole yet, by place
        missing: dict[int, int] = {}
        tickets = 0
        while True:
            while not is_interrupted() and self._crew.idle():
                if again:
                    part = again.popleft()
                elif (following := next(source, None)) is not None:
                    number, items = following[0], list(following[1])
                    part = _SubBatch(number, list(range(len(items))), items)
                    results[number], missing[number] = {}, len(items)
                else:
                    break
                running[tickets] = part
                self._crew.send(tickets, part.items)
                tickets += 1
            if not running:
                check_interruption()
                return
            received = self._crew.receive(lambda ticket, done: self._on_units(running[ticket].number, done))
            if received is None:
                continue
            ticket, outcome = received
            part = running.pop(ticket)
            if isinstance(outcome, Lost):
                outcome = self._try_again(part, outcome, again)
            else:
                self._done_any, self._hopeless = True, 0
            if outcome is not None:
                results[part.number].update(zip(part.places, outcome))
                missing[part.number] -= len(part.items)
            if not missing[part.number]:
                del missing[part.number]
                whole = results.pop(part.number)
                yield part.number, [whole[place] for place in sorted(whole)]

    def _try_again(self, part: _SubBatch, lost: Lost, again: collections.deque[_SubBatch]) -> list[SetAside] | None:
        """Queue the part anew, or in halves, and return None; or return what stands for its one item."""
        part.tries += 1
        logger.warning("a batch of %d was not done, try %d of %d: %s", len(part.items), part.tries, TRIES, lost.reason)
        if part.tries < TRIES:
            again.append(part)
            return None
        if len(part.items) > 1:
            again.extendleft(reversed(part.halves()))
            return None
        self._hopeless += 1
        if self._hopeless >= (MOST_IN_A_ROW if self._done_any else MOST_HOPELESS):
            so_far = f"{self._hopeless} items in a row could not be done" if self._done_any else NOTHING_DONE
            raise UserError(
                f"{so_far}, after {TRIES} tries and with ever smaller batches (the last: {lost.reason}); if memory is "
                "short, set compute.workers or a batch size lower; if an accelerator failed, look at its driver's "
                "messages; what is finished is kept, so run the same command again"
            )
        return [SetAside(f"set aside after {TRIES} tries: {lost.reason}")]


def check_set_aside(notes: Sequence[str], items: int, most: float, things: str) -> None:
    """Refuse to end well where too many items were set aside.

    Args:
        notes: why, one for each that was.
        items: how many there are in all.
        most: `compute.max_set_aside`, the share of them that may be. A single item may always be, unless it is 0:
            in a run of few items it is more than any sensible share.
        things: what they are, for messages.

    Raises:
        UserError: more were set aside than may be.
    """
    allowed = max(1, int(most * items)) if most else 0
    if len(notes) > allowed:
        raise UserError(
            f"{len(notes)} of {items} {things} were set aside (the first: {notes[0]}), which is more than "
            f"compute.max_set_aside = {most:g} allows ({allowed}); what is finished is kept: run the same command "
            "again, which tries them anew, or raise compute.max_set_aside"
        )


def one_line(error: BaseException) -> str:
    """Return an error's type and message in one line of bounded length."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]
