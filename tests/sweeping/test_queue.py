"""Waiting for DVC's queue, with what `dvc queue` prints played back; tests/commands/test_sweep.py runs a real one."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from varireal.errors import UserError
from varireal.sweeping.experiments import SavedExperiment
from varireal.sweeping.queue import EndedRun, Queue

FIRST, SECOND, THIRD = (
    SavedExperiment(name, rev) for name, rev in (("ratio-0", "38cbca3"), ("ratio-1", "871b27e"), ("ratio-2", "0a1b2c3"))
)
LOG = "Reproducing experiment 'ratio-0'\nRunning stage 'one':\n> python\nhäh █\nStage 'two' is cached\n"


def listing(workers: int, *tasks: str) -> str:
    return (
        "Task     Name     Created    Status\n"
        + "".join(f"{task}\n" for task in tasks)
        + (f"\nWorker status: {workers} active, 0 idle\n")
    )


def task(experiment: SavedExperiment, state: str, created: str = "06:02 PM") -> str:
    return f"{experiment.rev}  {experiment.name}  {created}   {state}"


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Queue:
    """A queue whose statuses are those put into ``played``, the last one for ever; ``asked`` has the other commands."""
    played: list[str] = []
    asked: list[tuple[str, ...]] = []

    def dvc(*arguments: str, **_: str) -> subprocess.CompletedProcess[str]:
        if arguments == ("queue", "status"):
            return subprocess.CompletedProcess(arguments, 0, played.pop(0) if len(played) > 1 else played[0], "")
        asked.append(arguments)
        log = LOG.encode().decode("iso-8859-1") if arguments[1] == "logs" else ""
        return subprocess.CompletedProcess(arguments, 0, log, "")

    commits = {"start": [("ratio-0", "a" * 40), ("ratio-1", "b" * 40)]}
    repo = SimpleNamespace(root_dir=tmp_path, experiments=SimpleNamespace(ls=lambda all_commits: commits))
    queue = Queue(repo)
    queue.played, queue.asked = played, asked
    monkeypatch.setattr(queue, "_dvc", dvc)
    monkeypatch.setattr(queue, "_start", lambda workers: asked.append(("queue", "start", "-j", str(workers))))
    monkeypatch.setattr("varireal.sweeping.queue.time.sleep", lambda seconds: None)
    return queue


def test_a_status_is_read_whatever_dvc_says_of_names_and_times(queue: Queue) -> None:
    unnamed = "0123abc           Nov 29, 2026   Failed"
    queue.played.append(listing(2, task(FIRST, "Running"), task(SECOND, "Queued", "Nov 29, 2026"), unnamed))
    status = queue.status()
    assert status.workers == 2 and status.waiting() == [FIRST, SECOND]
    assert list(status.states.values()) == ["Running", "Queued", "Failed"]


def test_a_status_that_cannot_be_read_is_an_error(queue: Queue) -> None:
    queue.played.append("something else\n")
    with pytest.raises(UserError, match="`dvc queue status` does not say what the queue holds"):
        queue.status()


def test_stages_are_counted_and_each_run_ends_with_its_commit_or_its_log(queue: Queue) -> None:
    queue.played += [
        listing(1, task(FIRST, "Running"), task(SECOND, "Queued")),
        listing(1, task(FIRST, "Success"), task(SECOND, "Running")),
        listing(1, task(FIRST, "Success"), task(SECOND, "Failed")),
    ]
    steps: list[int] = []
    runs = queue.run([FIRST, SECOND], 1, 4, steps.append)
    assert runs == [EndedRun("ratio-0", "a" * 40, LOG.rstrip()), EndedRun("ratio-1", None, LOG.rstrip())]
    assert queue.asked[0] == ("queue", "start", "-j", "1")
    assert steps == [1, 0, 3, 1, 3]


def test_nobody_waits_for_the_end_of_the_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DVC leaves a process behind that waits for each worker, and has the outputs of `dvc queue start`."""
    dvc = tmp_path / "dvc"
    dvc.write_text('#!/bin/sh\necho "$@" > said\nsleep 20 &\n')
    dvc.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    begin = time.monotonic()
    Queue(SimpleNamespace(root_dir=tmp_path))._start(3)
    assert time.monotonic() - begin < 15
    assert (tmp_path / "said").read_text() == "queue start -j 3\n"


def test_an_experiment_that_the_queue_no_longer_lists_has_failed(queue: Queue) -> None:
    queue.played.append(listing(1, task(FIRST, "Success")))
    (run,) = queue.run([SECOND], 1, 4, lambda count: None)
    assert run == EndedRun("ratio-1", None, "")


def test_workers_that_gave_up_are_started_again_or_named_with_the_remedy(queue: Queue) -> None:
    start = ("queue", "start", "-j", "1")
    queue.played += [listing(0, task(FIRST, "Queued"))] * 5
    queue.played += [listing(1, task(FIRST, "Success"))]
    assert queue.run([FIRST], 1, 4, lambda count: None)[0].rev == "a" * 40
    assert queue.asked.count(start) == 2 and queue.asked[0] == start
    queue.played[:] = [listing(0, task(FIRST, "Running"))]
    with pytest.raises(UserError, match=r"workers ended before the experiments did .*`dvc queue kill`"):
        queue.run([FIRST], 1, 4, lambda count: None)


def test_what_nobody_runs_any_more_is_dropped_with_its_copy(queue: Queue, tmp_path: Path) -> None:
    """A machine went down: DVC takes FIRST to be running for ever."""
    folder = tmp_path / ".dvc/tmp/exps"
    for name, copy in ((FIRST.rev, folder / "tmpabc"), (SECOND.rev, tmp_path / "elsewhere")):
        (folder / "run" / f"{name}{'0' * 33}").mkdir(parents=True)
        (folder / "run" / f"{name}{'0' * 33}" / "it.run").write_text(json.dumps({"root_dir": str(copy)}))
        (copy / "src").mkdir(parents=True)
    queue.played.append(listing(0, task(FIRST, "Running"), task(SECOND, "Running"), task(THIRD, "Queued")))
    assert queue.drop_orphans() == [FIRST, SECOND]
    assert queue.asked == [("queue", "kill", FIRST.rev), ("queue", "kill", SECOND.rev)]
    assert not (folder / "tmpabc").exists() and (tmp_path / "elsewhere").exists()


def test_nothing_is_dropped_while_a_worker_lives(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    queue.played += [listing(1, task(FIRST, "Running")), listing(0, task(FIRST, "Running"))]
    assert queue.drop_orphans() == []  # one answers, perhaps on another machine
    monkeypatch.setattr(queue, "_worker_lives", lambda: True)  # one is too busy to answer
    assert queue.drop_orphans() == [] and queue.asked == []
