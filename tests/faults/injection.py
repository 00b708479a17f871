"""Faults at named points of a stage that runs in a forked process: an error of the system or a library, or kill -9.

A process that is killed runs no `finally`: it ends by `os._exit` before or after the call, or half-way through a write.
"""

from __future__ import annotations

import collections
import dataclasses
import errno
import json
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from varireal.cli import program
from varireal.compute import processes

KILLED = 137


@dataclasses.dataclass(frozen=True)
class Fault:
    """What happens at the n-th call of a point, counted from 1."""

    point: str
    call: int
    kind: str  # of `KINDS[point]`


def full_disk() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a file")


def read_only() -> OSError:
    return OSError(errno.EROFS, os.strerror(errno.EROFS), "a file")


def broken_disk() -> OSError:
    return OSError(errno.EIO, os.strerror(errno.EIO), "a file")


def broken_model() -> RuntimeError:
    return RuntimeError("CUDA error: an illegal memory access was encountered")


def lost_server() -> Exception:
    import requests

    return requests.ConnectionError("connection reset by peer")


def lost_mlflow() -> Exception:
    from mlflow.exceptions import MlflowException

    return MlflowException("the server is away")


KILLS = ("kill before", "kill after", "SIGTERM", "SIGINT")
ERRORS: dict[str, tuple[Callable[[], Exception], ...]] = {
    "write": (full_disk, read_only, broken_disk),
    "rename": (full_disk, broken_disk),
    "read": (broken_disk,),
    "model": (broken_model, MemoryError),
    "llm": (lost_server,),
    "mlflow": (lost_mlflow,),
}
KINDS = {point: (*KILLS, *(make.__name__ for make in made)) for point, made in ERRORS.items()}
KINDS["write"] += ("half, then kill", "half, then full_disk")


class Injector:
    """Counts the calls of every point in this process, and lets the fault happen."""

    def __init__(self, fault: Fault | None) -> None:
        self._fault = fault
        self.calls: collections.Counter[str] = collections.Counter()

    def wrap(self, owner: Any, name: str, point: str) -> None:
        """Put a fault's point in the place of a function or method of a module or class."""
        original = getattr(owner, name)

        def called(*arguments: Any, **options: Any) -> Any:
            self.calls[point] += 1
            kind = self._due(point)
            if kind is None:
                return original(*arguments, **options)
            if kind in signal.Signals.__members__:
                os.kill(os.getpid(), signal.Signals[kind])
                return original(*arguments, **options)
            if kind == "kill before":
                os._exit(KILLED)
            if kind.startswith("half"):
                if name == "fsync":  # of what was written whole
                    os.ftruncate(arguments[0], os.fstat(arguments[0]).st_size // 2)
                elif name == "write_bytes":
                    original(arguments[0], arguments[1][: len(arguments[1]) // 2])
                kind = kind.removeprefix("half, then ")
            if kind == "kill after":
                original(*arguments, **options)
            if kind.startswith("kill"):
                os._exit(KILLED)
            raise next(make for make in ERRORS[point] if make.__name__ == kind)()

        setattr(owner, name, called)

    def _due(self, point: str) -> str | None:
        fault = self._fault
        due = fault is not None and (fault.point, fault.call) == (point, self.calls[point])
        return fault.kind if due else None

    def arm(self) -> None:
        """Put all points in place."""
        import open_clip
        import requests
        import torch
        from mlflow import MlflowClient

        from varireal.base import files as files
        from varireal.editing.attempts import EditWorker
        from varireal.segmentation.run import SegmentWorker
        from varireal.store.batches import KeptInBatch

        self.wrap(os, "fsync", "write")
        self.wrap(tempfile, "mkstemp", "write")
        self.wrap(tempfile, "mkdtemp", "write")
        self.wrap(Path, "write_bytes", "write")
        for name in ("replace", "rename", "hardlink_to"):
            self.wrap(Path, name, "rename")
        self.wrap(files, "open_file", "read")
        self.wrap(files, "read_json", "read")
        self.wrap(KeptInBatch, "read", "read")
        for owner, name in ((EditWorker, "__call__"), (SegmentWorker, "__call__"), (torch.optim.AdamW, "step")):
            self.wrap(owner, name, "model")
        self.wrap(open_clip.CLIP, "encode_image", "model")
        self.wrap(requests, "post", "llm")
        for name in ("create_run", "log_batch", "set_terminated", "log_artifacts", "delete_run"):
            self.wrap(MlflowClient, name, "mlflow")


def be_program(stage: Sequence[str], fault: Fault | None, printed: Path, counted: Path) -> NoReturn:
    """Be the program, and end this process.

    Args:
        stage: the program's arguments.
        printed: the file for what it prints.
        counted: the file for how often it passed each point.
    """
    code = 1
    try:
        handle = os.open(printed, os.O_WRONLY | os.O_CREAT)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, closefd=False) for number in (1, 2))
        sys.argv = ["varireal", *stage]
        processes.SMALLEST_POOL = 1000  # as few pictures as these are done by this process alone
        injector = Injector(fault)
        injector.arm()
        try:
            program()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        with counted.open("w") as file:
            json.dump(injector.calls, file)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
