"""Independent items on all cores; results come in the items' order, so the worker count never shows in them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from varireal.compute.interruption import ignore_signals

Item = TypeVar("Item")
Result = TypeVar("Result")

SMALLEST_POOL = 16  # fewer items are done sooner than the worker processes have imported what they need
CHUNKS_PER_WORKER = 16


def available_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def map_in_order(function: Callable[[Item], Result], items: Sequence[Item], workers: int) -> Iterator[Result]:
    """Yield ``function(item)`` for every item, in order, from ``workers`` processes (1: in this one).

    The function and the items are pickled; the first exception of a worker is raised here and ends the pool.
    """
    if workers <= 1 or len(items) < SMALLEST_POOL:
        yield from map(function, items)
        return
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    # spawn works alike on every platform, and is safe beside the threads of progress bars and of torch
    context = multiprocessing.get_context("spawn")
    chunk = max(1, len(items) // (workers * CHUNKS_PER_WORKER))
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_single_threaded) as pool:
        try:
            yield from pool.map(function, items, chunksize=chunk)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _single_threaded() -> None:
    """Keep a worker to one core: the other workers use the rest."""
    import cv2

    ignore_signals()
    cv2.setNumThreads(1)
