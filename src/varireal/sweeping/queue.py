"""DVC's experiment queue: put experiments in, let workers run them, wait until they are done.

What the queue holds is asked of `dvc queue`, as DVC's Python interface does not offer it.
"""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from varireal.base.files import read_mapping
from varireal.errors import UserError
from varireal.sweeping.experiments import SavedExperiment, finished

if TYPE_CHECKING:
    from dvc.repo import Repo

FIRST_PAUSE, LONGEST_PAUSE, GROWTH = 1.0, 15.0, 1.2  # seconds between two looks, and the factor from one to the next
PATIENCE = 5  # looks at the queue that may fail, miss a task or find no worker
LOG_LINES = 15  # shown of a run that failed
TASK = re.compile(r"^([0-9a-f]{7})\s+(\S+)\s.*\s(Queued|Running|Failed|Success)\s*$", re.MULTILINE)
WORKERS = re.compile(r"^Worker status: (\d+) active, (\d+) idle", re.MULTILINE)
STAGE = re.compile(r"^(?:Running stage|Stage) '([^']+)'", re.MULTILINE)  # one is done, skipped or taken from the cache


@dataclasses.dataclass(frozen=True)
class EndedRun:
    """How an experiment of the queue ended."""

    name: str
    rev: str | None  # its commit; None: it failed
    log: str  # the last lines of what it printed


@dataclasses.dataclass(frozen=True)
class QueueStatus:
    """What `dvc queue status` says."""

    states: dict[SavedExperiment, str]  # Queued, Running, Failed or Success
    workers: int  # that answered in time

    def waiting(self) -> list[SavedExperiment]:
        """Return the experiments that wait or run."""
        return [experiment for experiment, state in self.states.items() if state in ("Queued", "Running")]


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
        self._root = Path(repo.root_dir).resolve()

    def status(self) -> QueueStatus:
        """Ask DVC what the queue holds.

        Raises:
            UserError: DVC does not say it, asked several times.
        """
        said = ""
        for _ in range(PATIENCE):
            done = self._dvc("queue", "status")
            if done.returncode == 0 and (workers := WORKERS.search(done.stdout)):
                states = {SavedExperiment(name, rev): state for rev, name, state in TASK.findall(done.stdout)}
                return QueueStatus(states, sum(map(int, workers.groups())))
            said = _one_line(done.stderr)
            time.sleep(FIRST_PAUSE)
        raise UserError(f"`dvc queue status` does not say what the queue holds: {said or 'no error'}")

    def drop_orphans(self) -> list[SavedExperiment]:
        """Have DVC note as failed what it takes to be running though nobody runs it any more, and return it.

        That is what a killed worker or a machine that went down leaves. While a worker lives nothing is touched.

        Raises:
            UserError: DVC does not say what the queue holds, or does not drop one.
        """
        status = self.status()
        running = [experiment for experiment, state in status.states.items() if state == "Running"]
        if not running or status.workers or self._worker_lives():
            return []
        for experiment in running:
            done = self._dvc("queue", "kill", experiment.rev)
            if done.returncode != 0:
                raise UserError(
                    f"{experiment.name} was cut off and `dvc queue kill {experiment.rev}` does not drop it: "
                    f"{_one_line(done.stderr)}"
                )
            self._remove_copy(experiment)
        return running

    def _remove_copy(self, experiment: SavedExperiment) -> None:
        """Remove the copy of the repository that an experiment was run in: DVC forgets those of killed ones."""
        folder = self._root / ".dvc/tmp/exps"
        for note in folder.glob(f"run/{experiment.rev}*/*.run"):
            try:
                copy = Path(str(read_mapping(note, "root_dir")["root_dir"]))
            except UserError:  # cut short where the machine went down
                continue
            if copy.parent == folder and copy.name.startswith("tmp"):
                shutil.rmtree(copy, ignore_errors=True)  # a leftover costs room alone

    def put(self, overrides: Mapping[str, Sequence[str]]) -> dict[str, SavedExperiment]:
        """Add experiments with these settings by their names, and return them by name.

        Raises:
            UserError: DVC refuses one, or does not list it then.
        """
        from dvc.exceptions import DvcException
        from dvc.scm import SCMError

        if not overrides:
            return {}
        before = self.status().states
        for name, settings in overrides.items():
            try:
                self._repo.experiments.run(targets=[], params=list(settings), queue=True, name=name)
            except (DvcException, SCMError) as error:
                raise UserError(f"DVC cannot queue the experiment {name}: {_one_line(str(error))}") from error
        for _ in range(PATIENCE):  # an experiment that is just being started is not listed
            added = {task.name: task for task in self.status().states if task not in before}
            if overrides.keys() <= added.keys():
                return {name: added[name] for name in overrides}
        raise UserError(f"DVC's queue does not list what was put in: {', '.join(overrides)}")

    def run(
        self, wanted: Sequence[SavedExperiment], workers: int, stages: int, advance: Callable[[int], None]
    ) -> list[EndedRun]:
        """Start workers and wait for the wanted experiments; others in the queue are run too, but not waited for.

        Args:
            stages: how many each experiment has.
            advance: called with the number of stages that came to an end.

        Raises:
            UserError: the workers ended before the experiments did.
        """
        self._start(workers)  # those that are there already are not started again
        ended: dict[SavedExperiment, EndedRun] = {}
        passed: Counter[SavedExperiment] = Counter()
        unlisted: Counter[SavedExperiment] = Counter()
        pause, without_workers = FIRST_PAUSE, 0
        while len(ended) < len(wanted):
            time.sleep(pause)
            pause = min(LONGEST_PAUSE, GROWTH * pause)
            status = self.status()
            for experiment in wanted:
                if experiment in ended:
                    continue
                state = status.states.get(experiment)
                unlisted[experiment] = 0 if state else unlisted[experiment] + 1
                log = "" if state in (None, "Queued") else self._log(experiment)
                if state in ("Success", "Failed") or unlisted[experiment] == PATIENCE:
                    rev = self._commit(experiment.name) if state == "Success" else None
                    ended[experiment] = EndedRun(experiment.name, rev, _last_lines(log))
                reached = stages if experiment in ended else min(stages - 1, _begun(log))
                advance(reached - passed[experiment])
                passed[experiment] = reached
            without_workers = 0 if status.workers or self._worker_lives() else without_workers + 1
            if without_workers == PATIENCE and len(ended) < len(wanted):
                self._restart(status, wanted, workers)
                without_workers = 0
        return [ended[experiment] for experiment in wanted]

    def _start(self, workers: int) -> None:
        """Start workers, and don't wait for their end: a process of DVC's that does holds what `dvc` prints to."""
        nowhere = subprocess.DEVNULL
        command = ["dvc", "queue", "start", "-j", str(workers)]
        subprocess.run(command, cwd=self._root, stdin=nowhere, stdout=nowhere, stderr=nowhere, check=False)

    def _restart(self, status: QueueStatus, wanted: Sequence[SavedExperiment], workers: int) -> None:
        """Start workers again where they gave up; they do when none of them answers in time on a busy machine."""
        if "Queued" in status.states.values():
            self._start(workers)
        elif set(wanted) & set(status.waiting()):
            raise UserError(
                "the queue's workers ended before the experiments did (their logs: .dvc/tmp/exps/celery/*.out); clear "
                "what they left with `dvc queue kill` and run the same command again: finished parts are kept"
            )

    def _worker_lives(self) -> bool:
        """Look for a worker among the system's processes: asked by DVC, busy ones do not answer in time."""
        import psutil

        for process in psutil.process_iter(["cmdline", "cwd"]):
            command, folder = process.info["cmdline"] or [], process.info["cwd"]  # none of a zombie
            if "queue-worker" in command and folder and Path(folder).is_relative_to(self._root):
                return True
        return False

    def _commit(self, name: str) -> str | None:
        return next((experiment.rev for experiment in finished(self._repo) if experiment.name == name), None)

    def _log(self, experiment: SavedExperiment) -> str:
        """Return what an experiment printed so far, or why DVC does not show it."""
        # read as bytes in disguise: a log that is being written may end in half a character, where DVC would give up
        done = self._dvc("queue", "logs", "--encoding", "iso-8859-1", experiment.rev, PYTHONIOENCODING="utf-8")
        return done.stdout.encode("iso-8859-1", "replace").decode("utf-8", "replace") or done.stderr

    def _dvc(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["dvc", *arguments], cwd=self._root, env={**os.environ, **environment}, stdin=subprocess.DEVNULL,
            capture_output=True, encoding="utf-8", errors="replace", check=False,
        )  # fmt: skip


def _begun(log: str) -> int:
    """Count the stages that a log shows before the last one, which may still run."""
    return max(0, len(set(STAGE.findall(log))) - 1)


def _last_lines(log: str) -> str:
    return "\n".join(log.rstrip().splitlines()[-LOG_LINES:])


def _one_line(text: str) -> str:
    return " ".join(text.split())
