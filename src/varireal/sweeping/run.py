"""Experiments that are wanted, from what there is already: the others go through DVC's queue."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import yaml

from varireal import paths
from varireal.compute.progress import progress
from varireal.config import Params
from varireal.doctor.repository import paths_not_carried
from varireal.errors import UserError
from varireal.reporting.experiments import read_experiment
from varireal.sweeping.experiments import SavedExperiment, finished, free_name, same_as_now
from varireal.sweeping.points import count_stages
from varireal.sweeping.queue import EndedRun, Queue, check_programs

if TYPE_CHECKING:
    from dvc.repo import Repo

Tell = Callable[[str], None]  # takes a line for whoever waits


class Wanted(Protocol):
    """An experiment that is wanted."""

    @property
    def name(self) -> str:
        """Return the name it gets, if that is free."""
        ...

    @property
    def params(self) -> Params:
        """Return all its settings, validated."""
        ...

    @property
    def overrides(self) -> tuple[str, ...]:
        """Return the overrides of conf/ that lead to them."""
        ...


AnyWanted = TypeVar("AnyWanted", bound=Wanted)


def run_missing(
    wanted: Sequence[AnyWanted], jobs: int, tell: Tell, shared: Callable[[AnyWanted], Hashable]
) -> dict[str, SavedExperiment]:
    """Run the experiments that are missing, and return the finished one of every wanted one by its name.

    Args:
        jobs: so many at a time; the first runs alone where what all share is not there yet.
        shared: is the same for experiments that share what takes long.

    Raises:
        UserError: there is no DVC repository or no dvc on PATH, or an experiment failed.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    check_programs()
    try:
        repo = Repo()
    except DvcException as error:
        raise UserError(f"no DVC repository here ({error}); run from the root of the repository") from error
    with repo:
        logging.getLogger("dvc").setLevel(logging.ERROR)
        return _run_missing(repo, wanted, jobs, tell, shared)


def _run_missing(
    repo: Repo, points: Sequence[AnyWanted], jobs: int, tell: Tell, shared: Callable[[AnyWanted], Hashable]
) -> dict[str, SavedExperiment]:
    """Return the finished experiment of every point by the point's name."""
    queue = Queue(repo)
    pipeline = yaml.safe_load(paths.PIPELINE.read_text(encoding="utf-8"))
    if orphans := queue.drop_orphans():
        names = ", ".join(experiment.name for experiment in orphans)
        tell(f"Cut off, and run again where wanted: {names}; finished parts are kept")
    ended, waiting = finished(repo), queue.status().waiting()
    done: dict[str, SavedExperiment] = {}
    queued: dict[str, SavedExperiment] = {}
    for point in points:
        if same := list(filter(_is_readable, same_as_now(ended, point.params, pipeline))):
            done[point.name] = min(same, key=lambda experiment: (experiment.name != point.name, experiment.name))
        elif same := same_as_now(waiting, point.params, pipeline):
            queued[point.name] = same[0]
    missing = [point for point in points if point.name not in done]
    if done:
        tell(f"Taken as they are: {', '.join(experiment.name for experiment in done.values())}")
    if missing:
        _check_carried(missing[0].params)
        tell(f"To run: {', '.join(point.name for point in missing)}")
    taken = {experiment.name for experiment in (*ended, *waiting)}
    stages = count_stages(pipeline, points[0].params)
    alone = 0 if any(shared(point) == shared(points[0]) for point in points if point.name in done) else 1
    for batch, workers in ((missing[:alone], 1), (missing[alone:], jobs)):
        if batch:
            wanted = _queue_batch(queue, batch, queued, taken)
            done |= dict(zip(wanted, _run_batch(queue, list(wanted.values()), workers, stages, tell)))
    return done


def _check_carried(params: Params) -> None:
    """Check that the queue's copies of the repository will find what the settings name.

    Raises:
        UserError: something is named by a relative path, and git does not hold it.
    """
    lacking = paths_not_carried(params.model_dump(mode="json"), Path())
    if lacking:
        named = ", ".join(f"{key} = {value!r}" for key, value in lacking.items())
        raise UserError(
            f"the queue runs in copies of the repository, which lack what git ignores: {named}; give absolute paths "
            f"({Path(next(iter(lacking.values()))).absolute()}), or let DVC carry them along (dvc add)"
        )


def _is_readable(experiment: SavedExperiment) -> bool:
    """Return whether DVC's cache still holds the predictions of an experiment."""
    try:
        read_experiment(experiment.rev)
    except UserError:
        return False
    return True


def _queue_batch(
    queue: Queue, batch: Sequence[Wanted], queued: Mapping[str, SavedExperiment], taken: set[str]
) -> dict[str, SavedExperiment]:
    """Queue those points of a batch that are not in the queue; return the experiments of all by the points' names."""
    names: dict[str, str] = {}
    for point in batch:
        if point.name not in queued:
            names[point.name] = free_name(point.name, taken)
            taken.add(names[point.name])
    added = queue.put({names[point.name]: point.overrides for point in batch if point.name in names})
    return {point.name: queued.get(point.name) or added[names[point.name]] for point in batch}


def _run_batch(
    queue: Queue, wanted: Sequence[SavedExperiment], workers: int, stages: int, tell: Tell
) -> list[SavedExperiment]:
    """Wait for experiments of the queue and return their commits.

    Raises:
        UserError: one failed; the end of its log is told before.
    """
    names = ", ".join(experiment.name for experiment in wanted)
    try:
        with progress(f"stages of {names}", stages * len(wanted)) as advance:
            runs = queue.run(wanted, workers, stages, advance)
    except KeyboardInterrupt:
        tell(
            "\nThe queue goes on in the background. The same command waits for it again; `dvc queue stop --kill` "
            "ends it."
        )
        raise
    _check_success(runs, tell)
    return [SavedExperiment(run.name, run.rev) for run in runs if run.rev is not None]


def _check_success(runs: Sequence[EndedRun], tell: Tell) -> None:
    failed = [run for run in runs if run.rev is None]
    for run in failed:
        tell(f"--- the last lines of {run.name} ---\n{run.log}\n---")
    if failed:
        raise UserError(
            f"{len(failed)} of {len(runs)} experiments failed: {', '.join(run.name for run in failed)}; "
            f"`dvc queue logs {failed[0].name}` shows all that it printed. Mend the cause and run the same command "
            "again: what is finished is kept"
        )
