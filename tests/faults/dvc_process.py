"""DVC with a fault of the system: `python dvc_process.py '{"place": ..., "call": ..., "kind": ...}' TRACE repro ...`.

Python's own audit events tell of every file that is about to be opened for writing, renamed, linked or removed, whoever
does it. They count from the start of the first stage's command, so that what lies after it is its commit.
"""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any

KILLED = 137
# what is written, by the last argument that names it
EVENTS = {"open": 0, "os.rename": 1, "os.link": 1, "os.mkdir": 0, "os.chmod": 0, "os.remove": 0, "os.rmdir": 0}
PLACES = {".dvc/cache": "cache", ".dvc/tmp": "locks", "dvc.lock": "dvc.lock", "data": "outputs", "metrics": "outputs"}


class Fault:
    """Lets something happen at the n-th change of a place, counted from 1, and notes all changes."""

    def __init__(self, place: str | None = None, call: int = 0, kind: str = "") -> None:
        self._due, self.kind = (place, call), kind
        self._root = Path.cwd()
        self._calls: Counter[str] = Counter()
        self._started = False
        self.trace: list[tuple[str, str]] = []

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        self._started |= event == "subprocess.Popen" and "-m varireal " in str(arguments[1])
        if not self._started or event not in EVENTS:
            return
        if event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            return
        path = arguments[EVENTS[event]]
        place = None if isinstance(path, int) else self._place(os.fsdecode(path))
        if place is not None:
            self.trace.append((place, event))
            self._calls[place] += 1
            if (place, self._calls[place]) == self._due:
                self._happen(path)

    def _place(self, path: str) -> str | None:
        where = os.path.relpath(path, self._root)
        return next((name for start, name in PLACES.items() if where == start or where.startswith(f"{start}/")), None)

    def _happen(self, path: str) -> None:
        if self.kind == "kill":
            os._exit(KILLED)
        if self.kind == "SIGINT":
            os.kill(os.getpid(), signal.SIGINT)
        elif self.kind == "full disk":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        else:  # the system cuts what is written next
            before = Path(path).stat().st_size if Path(path).exists() else 0
            resource.setrlimit(resource.RLIMIT_FSIZE, (max(before // 2, 8), resource.RLIM_INFINITY))


def there_is_room_again(*_: object) -> None:
    """Let the system cut no more writes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def main() -> int:
    """Be DVC."""
    fault = Fault(**json.loads(sys.argv[1]))
    # one write is cut; more would keep DVC's database waiting for ever, as no full disk does
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL if fault.kind.endswith("kill") else there_is_room_again)
    sys.addaudithook(fault)
    from dvc.cli import main as dvc

    code = dvc(sys.argv[3:])
    if not fault.kind:
        Path(sys.argv[2]).write_text(json.dumps(fault.trace))
    return code


if __name__ == "__main__":
    sys.exit(main())
