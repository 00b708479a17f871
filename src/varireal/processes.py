"""Long work in several processes side by side, each loading what it needs once, with one progress count.

For networks on a CPU: several small ones with one thread each are done sooner than one after the other with all
threads, and their results do not depend on the number of cores. `varireal.parallel` is for many short items.
"""

from __future__ import annotations

import multiprocessing
import pkgutil
from collections.abc import Callable, Sequence
from multiprocessing import connection, forkserver
from typing import Any

from varireal.errors import UserError
from varireal.parallel import available_cores

CAN_FORK = "forkserver" in multiprocessing.get_all_start_methods()


def warm_up(*modules: str) -> None:
    """Begin to import slow modules in the background, once for all processes to come."""
    if CAN_FORK:
        multiprocessing.get_context("forkserver").set_forkserver_preload(list(modules))
        forkserver.ensure_running()


def worker_plan(on_cpu: bool, num_threads: int | None, items: int) -> tuple[int, int | None]:
    """Return how many processes to use for the items, and how many threads of torch in each (None: torch's choice).

    On a CPU each process has ``num_threads`` threads, one unless asked for more, and there are as many processes as
    the cores allow. An accelerator is not shared: one process, this one.
    """
    if not on_cpu:
        return 1, num_threads
    threads = num_threads or 1
    return max(1, min(items, available_cores() // threads)), threads


def run_side_by_side(work: str, shares: Sequence[tuple[Any, ...]], advance: Callable[[int], None]) -> None:
    """Call a function for each share in a process of its own; a single share runs in this process.

    If this process is killed, the others end at their next report.

    Args:
        work: the function as ``package.module:name``, so that this process need not import it. It is called as
            ``function(*share, report=report)``, where ``report`` takes the number of units just done.
        shares: the arguments of each call; they must be picklable.
        advance: gets the reported numbers, here.

    Raises:
        UserError: raised by the work, or a process was killed, as the system does when memory runs out.
        RuntimeError: a process failed otherwise; its traceback is on standard error.
    """
    if len(shares) == 1:
        pkgutil.resolve_name(work)(*shares[0], report=advance)
        return
    context = multiprocessing.get_context("forkserver" if CAN_FORK else "spawn")
    running: dict[Any, Any] = {}
    try:
        for share in shares:
            reader, writer = context.Pipe(duplex=False)
            process = context.Process(target=_do, args=(work, share, writer), daemon=True)
            process.start()
            writer.close()  # so that the end of the process is the end of the pipe
            running[reader] = process
        while running:
            for reader in connection.wait(list(running)):
                _receive(reader, running, advance)
    finally:
        for reader, process in running.items():
            process.terminate()
            process.join()
            reader.close()


def _do(work: str, share: tuple[Any, ...], writer: Any) -> None:
    """Run in the new process: do the work, and send counts, then None or a user's error."""
    try:
        pkgutil.resolve_name(work)(*share, report=writer.send)
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
