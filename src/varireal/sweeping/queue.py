"""DVC's experiment queue: put experiments in, let workers run them, wait until they are done."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from varireal.errors import UserError
from varireal.sweeping.experiments import Found

if TYPE_CHECKING:
    from dvc.repo import Repo

    from varireal.sweeping.points import Point

POLL_SECONDS = 1.0
CHECK_WORKERS_EVERY = 10  # polls
LOG_LINES = 15  # shown of a run that failed
STAGE = re.compile(r"^(?:Running stage|Stage) '([^']+)'", re.MULTILINE)  # one is done, skipped or taken from the cache


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How an experiment of the queue ended."""

    name: str
    rev: str | None  # its commit; None: it failed
    log: str  # the last lines of what it printed


def check_programs() -> None:
    """Check that the workers will find what they call by name.

    Raises:
        UserError: dvc is not on PATH.
    """
    if shutil.which("dvc") is None:
        raise UserError("the program dvc is not on PATH, where the queue looks for it; first run: . .venv/bin/activate")


class Queue:
    """The queue of one DVC repository."""

    def __init__(self, repo: Repo) -> None:
        self._repo = repo
        self._queue = repo.experiments.celery_queue

    def waiting(self) -> list[Found]:
        """Return the experiments that wait or run, by the commits of their stashes."""
        entries = [*self._queue.iter_queued(), *self._queue.iter_active()]
        return [Found(entry.name or entry.stash_rev[:7], entry.stash_rev) for entry in entries]

    def put(self, point: Point, name: str) -> Found:
        """Add an experiment and return it.

        Raises:
            UserError: DVC refuses it.
        """
        from dvc.exceptions import DvcException
        from dvc.scm import SCMError

        before = {found.rev for found in self.waiting()}
        try:
            self._repo.experiments.run(targets=[], params=list(point.overrides), queue=True, name=name)
        except (DvcException, SCMError) as error:
            raise UserError(f"DVC cannot queue the experiment {name}: {' '.join(str(error).split())}") from error
        return next(found for found in self.waiting() if found.rev not in before and found.name == name)

    def run(self, wanted: Sequence[Found], workers: int, stages: int, advance: Callable[[int], None]) -> list[Outcome]:
        """Start workers and wait for the wanted experiments; others in the queue are run too, but not waited for.

        Args:
            stages: how many each experiment has.
            advance: called with the number of stages that came to an end.

        Raises:
            UserError: the workers ended before the experiments did.
        """
        if self._count_workers() < workers:
            self._queue.start_workers(workers)
        outcomes: dict[str, Outcome] = {}
        seen: dict[str, int] = {}
        polls = 0
        while len(outcomes) < len(wanted):
            time.sleep(POLL_SECONDS)
            polls += 1
            for found, rev in self._ended():
                if found in wanted and found.rev not in outcomes:
                    outcomes[found.rev] = Outcome(found.name, rev, _last_lines(self._log(found.rev)))
            for found in wanted:
                passed = stages if found.rev in outcomes else min(stages - 1, _begun(self._log(found.rev)))
                advance(passed - seen.get(found.rev, 0))
                seen[found.rev] = passed
            if polls % CHECK_WORKERS_EVERY == 0 and len(outcomes) < len(wanted):
                self._check_workers(wanted, workers)
        return [outcomes[found.rev] for found in wanted]

    def _ended(self) -> Iterator[tuple[Found, str | None]]:
        for entry, result in self._queue.iter_done():
            ref = result.ref_info if result is not None else None
            rev = None if ref is None else self._repo.scm.get_ref(str(ref))
            yield Found(entry.name or entry.stash_rev[:7], entry.stash_rev), rev

    def _log(self, stash_rev: str) -> str:
        info = self._queue.proc.get(stash_rev)
        if info is None or not Path(info.stdout).is_file():
            return ""
        return Path(info.stdout).read_text(encoding="utf-8", errors="replace")

    def _check_workers(self, wanted: Sequence[Found], workers: int) -> None:
        """Start workers again where they gave up; they do when none of them answers in time on a busy machine."""
        if self._count_workers():
            return
        if list(self._queue.iter_queued()):
            self._queue.start_workers(workers)
        elif any(found in wanted for found in self.waiting()):
            raise UserError(
                f"the queue's workers ended before the experiments did (their logs: {self._queue.wdir}/*.out); clear "
                "what they left with `dvc queue kill` and run the same command again: finished parts are kept"
            )

    def _count_workers(self) -> int:
        """Return how many workers there are, as the system knows; asked themselves, busy ones do not answer in time."""
        import psutil

        node = f"dvc-exp-{hashlib.sha256(self._queue.wdir.encode()).hexdigest()[:6]}-"  # as DVC names its workers
        commands = (process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"]))  # zombies have none
        return sum(any(argument.startswith(node) for argument in command) for command in commands)


def _begun(log: str) -> int:
    """Return how many stages a log shows before the last one, which may still run."""
    return max(0, len(set(STAGE.findall(log))) - 1)


def _last_lines(log: str) -> str:
    return "\n".join(log.splitlines()[-LOG_LINES:])
