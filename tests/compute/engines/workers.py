"""Workers that engines send to other processes: they do arithmetic, and fail in the ways that real ones do."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from varireal.errors import UserError

ILLEGAL_ACCESS = "CUDA error: an illegal memory access was encountered"


class Squares:
    """Squares numbers, and tells the process."""

    def __call__(self, items: Sequence[int]) -> list[tuple[int, int]]:
        return [(item * item, os.getpid()) for item in items]


class Together:
    """Squares numbers once so many processes are at it at the same time, and tells the process."""

    def __init__(self, folder: Path, processes: int = 2, patience: float = 120.0) -> None:
        self._folder, self._processes, self._patience = folder, processes, patience

    def __call__(self, items: Sequence[int]) -> list[tuple[int, int]]:
        (self._folder / str(os.getpid())).touch()
        end = time.monotonic() + self._patience
        while len(list(self._folder.iterdir())) < self._processes and time.monotonic() < end:
            time.sleep(0.05)
        return [(item * item, os.getpid()) for item in items]


class Products:
    """A network's kind of arithmetic, whose last bits depend on the number of threads, which it tells too."""

    def __call__(self, items: Sequence[int]) -> list[tuple[int, int, bytes]]:
        import cv2
        import torch

        results = []
        for item in items:
            generator = torch.Generator().manual_seed(item)
            left, right = (torch.randn(300, 700, generator=generator) for _ in range(2))
            product = (left @ right.T).sum(dim=0).softmax(dim=0).numpy().tobytes()
            results.append((torch.get_num_threads(), cv2.getNumThreads(), product))
        return results


class Failing:
    """Fails at one item: by an error, by its own death, or by a user's error; ``once`` names a file that tells it."""

    def __init__(self, how: str, item: int | None, once: Path | None = None) -> None:
        self._how, self._item, self._once = how, item, once

    def __call__(self, items: Sequence[int]) -> list[int]:
        if (self._item is None or self._item in items) and not (self._once and self._once.exists()):
            if self._once:
                self._once.touch()
            if self._how == "user":
                raise UserError("the photo cannot be read")
            if self._how == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            raise ZeroDivisionError("a defect")
        return [-item for item in items]


class Sticky:
    """Does as many batches in a process as it may; then the accelerator breaks, and no call ever works again there.

    An item of its own breaks it at once.
    """

    def __init__(self, batches: int, poison: int | None = None, message: str = ILLEGAL_ACCESS) -> None:
        self._left, self._poison, self._message, self._broken = batches, poison, message, False

    def __call__(self, items: Sequence[int]) -> list[tuple[int, int]]:
        self._broken = self._broken or self._left == 0 or self._poison in items
        if self._broken:
            raise RuntimeError(self._message)
        self._left -= 1
        return [(-item, os.getpid()) for item in items]
