"""Engine ``local``: worker processes on this machine, or this process where one worker on the CPU is all there is."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import multiprocessing
import os
import traceback
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import connection
from typing import TYPE_CHECKING, Any

from varireal.compute.accelerators import is_broken
from varireal.compute.devices import is_surely_cpu, visible_gpus
from varireal.compute.engines.base import CrewPool, Item, Lost, Pool, Result, Worker, one_line
from varireal.compute.interruption import deferring
from varireal.compute.processes import keep_freed_memory, start_process, warm_up, worker_plan
from varireal.compute.progress import units_to
from varireal.errors import UserError

if TYPE_CHECKING:
    from varireal.config import ComputeConfig

logger = logging.getLogger(__name__)

PATIENCE = 10.0  # seconds for an idle worker to end


class LocalEngine:
    """On a CPU as many workers of one thread as there are cores; on GPUs one worker for each that is visible."""

    def __init__(self, compute: ComputeConfig, modules: Sequence[str]) -> None:
        """Take the modules that workers import before their first batch; none: their work needs no network."""
        self._compute, self._modules = compute, modules

    @functools.cached_property
    def _device(self) -> str:
        if not self._modules:
            return "cpu"
        from varireal.compute.devices import resolve_device

        return str(resolve_device(self._compute))

    def device(self) -> str:
        return self._device

    def warm_up(self, most: int) -> None:
        """Begin to import what workers need, where several will surely be forked, while this process imports torch."""
        if is_surely_cpu(self._compute) and self._plan(True, most)[0] > 1:
            warm_up(*self._modules)

    def _plan(self, on_cpu: bool, most: int) -> tuple[int, int | None]:
        """Return how many workers do up to ``most`` batches at a time, and the threads of each."""
        count, threads = worker_plan(on_cpu, self._compute.num_threads, most)
        if not on_cpu:
            count = min(max(1, most), max(1, len(self._gpus())))
        return min(count, self._compute.workers or count), threads

    def _gpus(self) -> list[str]:
        return visible_gpus() if self._device == "cuda" else []

    @contextlib.contextmanager
    def open(
        self,
        worker: Worker[Item, Result],
        most: int,
        *,
        on_units: Callable[[int, int], None] | None = None,
        finish_running: bool = True,
    ) -> Iterator[Pool[Item, Result]]:
        on_cpu = self._device == "cpu"
        count, threads = self._plan(on_cpu, most)
        prepare = functools.partial(set_up, threads, bool(self._modules))
        if count == 1 and on_cpu:  # an accelerator may fail for good, and then its process has to go
            crew: InProcess | Processes = InProcess(worker, prepare)
        else:
            crew = Processes(worker, prepare, count, self._gpus(), self._modules if on_cpu else None)
        with deferring() if finish_running else contextlib.nullcontext():
            try:
                yield CrewPool(crew, on_units)
            finally:
                crew.close()


def set_up(threads: int | None, networks: bool) -> None:
    """Prepare a process for a worker: its number of threads, which shows in the last bits of a network's results."""
    import cv2

    keep_freed_memory()
    cv2.setNumThreads(threads or 1)
    if networks and threads is not None:
        import torch

        torch.set_num_threads(threads)


def attempt(
    worker: Worker[Item, Result], items: Sequence[Item], on_units: Callable[[int], None] | None = None
) -> list[Result] | Lost | UserError:
    """Return what a worker makes of a batch, or how it failed; ``on_units`` gets what it reports meanwhile."""
    try:
        with units_to(on_units):
            return worker(items)
    except UserError as error:
        return error
    except Exception as error:
        logger.debug("%s", traceback.format_exc())
        return Lost(one_line(error), is_broken(error))


class InProcess:
    """A crew of one: this process."""

    def __init__(self, worker: Worker[Any, Any], prepare: functools.partial[None]) -> None:
        self._worker, self._prepare = worker, prepare
        self._sent: tuple[int, Sequence[Any]] | None = None
        self._prepared = False

    def idle(self) -> bool:
        return self._sent is None

    def send(self, ticket: int, items: Sequence[Any]) -> None:
        self._sent = (ticket, items)

    def receive(self, on_units: Callable[[int, int], None]) -> tuple[int, list[Any] | Lost]:
        if not self._prepared:
            self._prepare()
            self._prepared = True
        assert self._sent is not None
        (ticket, items), self._sent = self._sent, None
        outcome = attempt(self._worker, items, lambda done: on_units(ticket, done))
        if isinstance(outcome, UserError):
            raise outcome
        if isinstance(outcome, Lost) and outcome.broken:
            raise UserError(
                f"the accelerator failed ({outcome.reason}), and this process can use it no longer; what is finished "
                "is kept, so run the same command again"
            )
        return ticket, outcome

    def close(self) -> None:
        """There is nothing to end."""


@dataclasses.dataclass(frozen=True)
class _Units:
    """How many units of its batch a worker process has done."""

    done: int


class Processes:
    """Worker processes, each with a pipe to this one; they end when it is closed, also by the death of this one."""

    def __init__(
        self,
        worker: Worker[Any, Any],
        prepare: functools.partial[None],
        count: int,
        gpus: Sequence[str],
        modules: Sequence[str] | None,
    ) -> None:
        """Take what all workers import, for them to be forked from a process that has; None: they start afresh."""
        self._worker, self._prepare, self._count, self._modules = worker, prepare, count, modules
        self._gpus = [gpus[number % len(gpus)] if gpus else None for number in range(count)]
        self._processes: dict[connection.Connection, tuple[Any, str | None]] = {}
        self._free: list[connection.Connection] = []
        self._running: dict[connection.Connection, int] = {}

    def idle(self) -> bool:
        return not self._processes or bool(self._free)

    def send(self, ticket: int, items: Sequence[Any]) -> None:
        if not self._processes:
            if self._modules is not None:
                warm_up("varireal.compute.engines.local", *self._modules)
            for gpu in self._gpus:
                self._start(gpu)
        pipe = self._free.pop(0)
        self._running[pipe] = ticket
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # its end is seen at the next receive
            pipe.send(items)

    def receive(self, on_units: Callable[[int, int], None]) -> tuple[int, list[Any] | Lost]:
        while True:
            ready = connection.wait(list(self._running))
            pipe = next(pipe for pipe in self._running if pipe in ready)
            ticket = self._running[pipe]
            try:
                outcome = pipe.recv()
            except (EOFError, ConnectionResetError):
                del self._running[pipe]
                return ticket, self._replace(pipe)
            if isinstance(outcome, _Units):
                on_units(ticket, outcome.done)
                continue
            del self._running[pipe]
            if isinstance(outcome, UserError):
                raise outcome
            if isinstance(outcome, Lost) and outcome.broken:
                self._replace(pipe)
            else:
                self._free.append(pipe)
            return ticket, outcome

    def close(self) -> None:
        idle = {self._processes[pipe][0] for pipe in self._free}
        for pipe in self._processes:
            pipe.close()
        for process, _ in self._processes.values():
            if process in idle:
                process.join(PATIENCE)  # an orderly end, in which it also gives its semaphores back
            process.kill()  # at a batch that nobody waits for, or stuck
            process.join()
        self._processes.clear()

    def _start(self, gpu: str | None) -> None:
        own, its = multiprocessing.Pipe()
        process = start_process(_serve, its, fork=self._modules is not None)
        its.close()  # so that the end of the process is the end of the pipe
        own.send((gpu, self._prepare))
        own.send(self._worker)
        self._processes[own] = (process, gpu)
        self._free.append(own)

    def _replace(self, pipe: connection.Connection) -> Lost:
        """Start another process in the place of one that is gone, or ends by its pipe's end; say how it ended."""
        process, gpu = self._processes.pop(pipe)
        pipe.close()
        process.join(PATIENCE)
        process.kill()  # if a broken accelerator holds it up
        process.join()
        code = process.exitcode
        self._start(gpu)
        if code < 0:
            return Lost(f"its worker process was killed (signal {-code}), perhaps for memory")
        return Lost(f"its worker process ended with exit code {code}")


def _serve(pipe: connection.Connection) -> None:
    """Run in a new process: load the worker, then answer batch after batch until the pipe is closed."""
    try:
        gpu, prepare = pipe.recv()
        if gpu is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = gpu  # before CUDA is first used
        prepare()
        worker = pipe.recv()
        while True:
            pipe.send(attempt(worker, pipe.recv(), lambda done: pipe.send(_Units(done))))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
