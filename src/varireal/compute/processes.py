"""Processes on this machine: how many, how they start, many short items at once, and teams of torch.distributed.

Networks are spread by `varireal.compute.engines`; :func:`map_in_order` is for many short items without networks;
:func:`run_as_team` starts processes that do one thing together.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import pkgutil
import platform
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import connection, forkserver
from typing import Any, TypeVar

from varireal.compute.interruption import SIGNALS, ignore_signals
from varireal.errors import UserError

Item = TypeVar("Item")
Result = TypeVar("Result")

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
KEPT_BYTES = 2**30  # freed memory that a process may keep
LARGEST_KEPT = 2**25  # bytes of one block; the most that glibc allows

CAN_FORK = "forkserver" in multiprocessing.get_all_start_methods()

SMALLEST_POOL = 32  # fewer items are done sooner than the worker processes have imported what they need
CHUNKS_PER_WORKER = 16


def available_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def worker_plan(on_cpu: bool, num_threads: int | None, items: int) -> tuple[int, int | None]:
    """Return how many processes to use for the items, and how many threads of torch in each (None: torch's choice).

    On a CPU each process has ``num_threads`` threads, one unless asked for more, and there are as many processes as
    the cores allow: several small networks with a thread each are done sooner than one after the other with all
    threads, and their results do not depend on the number of cores. An accelerator is not shared: one process.
    """
    if not on_cpu:
        return 1, num_threads
    threads = num_threads or 1
    return max(1, min(items, available_cores() // threads)), threads


def keep_freed_memory() -> None:
    """Let this process keep the memory it frees, where its allocator is glibc's; elsewhere do nothing.

    A network's step frees tens of megabytes and asks for them again at once. Handed back to the system in between,
    fetching and clearing their pages took up to a tenth of a step on a CPU.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
        libc.mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT)


def warm_up(*modules: str) -> None:
    """Begin to import slow modules in the background, once for all processes that are forked later."""
    if CAN_FORK:
        multiprocessing.get_context("forkserver").set_forkserver_preload(list(modules))
        with signals_held():
            forkserver.ensure_running()


def start_process(work: Callable[..., None], *arguments: Any, fork: bool) -> Any:
    """Start a process that calls the function, and return it.

    It takes neither SIGTERM nor Ctrl-C, which go to all processes of a command: it ends when this one is done with
    it, or at its next word to this one if this one is gone.

    Args:
        fork: from the process that :func:`warm_up` prepared. Never where CUDA is used: a library among those imports
            may have called it, and forks of such a process cannot.
    """
    context: Any = multiprocessing.get_context("forkserver" if fork and CAN_FORK else "spawn")
    process = context.Process(target=work, args=arguments, daemon=True)
    with signals_held():
        process.start()
    return process


@contextlib.contextmanager
def signals_held() -> Iterator[None]:
    """Start processes in the block that never see the signals to end: they inherit the mask."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def map_in_order(function: Callable[[Item], Result], items: Sequence[Item], workers: int) -> Iterator[Result]:
    """Yield ``function(item)`` for every item, in order, from ``workers`` processes (1: in this one).

    The function and the items are pickled; the first exception of a worker is raised here and ends the pool.
    """
    if workers <= 1 or len(items) < SMALLEST_POOL:
        yield from map(function, items)
        return
    from concurrent.futures import ProcessPoolExecutor

    # spawn works alike on every platform, and is safe beside the threads of progress bars and of torch
    context = multiprocessing.get_context("spawn")
    chunk = max(1, len(items) // (workers * CHUNKS_PER_WORKER))
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_single_threaded) as pool:
        try:
            with signals_held():  # all processes start here
                results = pool.map(function, items, chunksize=chunk)
            yield from results
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _single_threaded() -> None:
    """Keep a worker to one core: the other workers use the rest."""
    import cv2

    ignore_signals()
    cv2.setNumThreads(1)


def launched_processes() -> int:
    """Return how many processes do this work together, this one included, as launchers tell by torchrun's variables."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Return whether this is the first of the launched processes, or there is no other."""
    return launched_processes() == 1 or os.environ.get("RANK", "0") == "0"


def run_as_team(work: str, size: int, arguments: tuple[Any, ...], advance: Callable[[int], None], fork: bool) -> None:
    """Call a function in ``size`` processes that can reach each other through torch.distributed.

    If this process is killed, the others end at their next report.

    Args:
        work: the function as ``package.module:name``, so that this process need not import it. It is called as
            ``function(*arguments, report=report)``, where ``report`` takes the number of units just done.
        arguments: must be picklable.
        advance: gets the reported numbers, here.
        fork: as for :func:`start_process`.

    Raises:
        UserError: raised by the work, or a process was killed, as the system does when memory runs out.
        RuntimeError: a process failed otherwise; its traceback is on standard error.
    """
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size}
    running: dict[Any, Any] = {}
    try:
        for rank in range(size):
            own = {name: str(value) for name, value in {**common, "RANK": rank, "LOCAL_RANK": rank}.items()}
            reader, writer = multiprocessing.Pipe(duplex=False)
            process = start_process(_work_in_team, work, arguments, writer, own, fork=fork)
            writer.close()  # so that the end of the process is the end of the pipe
            running[reader] = process
        while running:
            for reader in connection.wait(list(running)):
                _receive(reader, running, advance)
    finally:
        for reader, process in running.items():
            process.kill()
            process.join()
            reader.close()


def _work_in_team(work: str, arguments: tuple[Any, ...], writer: Any, environment: dict[str, str]) -> None:
    """Run in the new process: do the work, and send counts, then None or a user's error."""
    os.environ.update(environment)
    try:
        pkgutil.resolve_name(work)(*arguments, report=writer.send)
    except UserError as error:
        writer.send(error)
    else:
        writer.send(None)


def _receive(reader: Any, running: dict[Any, Any], advance: Callable[[int], None]) -> None:
    """Take one message of a process; forget the process when it is done."""
    try:
        message = reader.recv()
    except EOFError:
        process = running[reader]
        process.join()
        if process.exitcode < 0:
            raise UserError(
                f"a worker process was killed (signal {-process.exitcode}), perhaps for memory; "
                "set compute.num_threads to use fewer processes, or a smaller batch size"
            ) from None
        raise RuntimeError(f"a worker process failed with exit code {process.exitcode}; see its traceback") from None
    if isinstance(message, UserError):
        raise message
    if message is None:
        running.pop(reader).join()
        reader.close()
    else:
        advance(message)
