"""`varireal sweep`: accuracy against the share of infeasible images. No stage: it runs experiments and reads them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import click

from varireal import paths
from varireal.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from varireal.reporting.dose import DoseResponse, SweepExperiment
    from varireal.reporting.experiments import Experiment
    from varireal.sweeping.experiments import Found
    from varireal.sweeping.points import Point
    from varireal.sweeping.queue import Outcome, Queue

RATIOS = "0,0.25,0.5,0.75,1"


class NumberList(click.ParamType):
    """Numbers with commas between them."""

    name = "list"

    def __init__(self, kind: type[int] | type[float], least: float) -> None:
        self._kind, self._least = kind, least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        if isinstance(value, tuple):
            return value
        try:
            found = tuple(self._kind(part) for part in value.split(",")) if value else ()
        except ValueError:
            self.fail(f"{value!r} is no list of numbers such as {RATIOS if self._kind is float else '1,3'}", param, ctx)
        if wrong := [number for number in found if not self._least <= number <= (1 if self._kind is float else number)]:
            limits = "between 0 and 1" if self._kind is float else f"{self._least:g} or more"
            self.fail(f"{wrong[0]:g} is not {limits}", param, ctx)
        return found


@click.command()
@click.option("--ratios", type=NumberList(float, 0), default=RATIOS, show_default=True, help="Values of mix.ratio.")
@click.option(
    "--edits-per-photo",
    type=NumberList(int, 1),
    default="",
    help="Values of edit.edits_per_photo, a curve for each.  [default: as in conf/, one curve]",
)
@click.option(
    "-S", "--set-param", "settings", multiple=True, metavar="KEY=VALUE",
    help="Change a setting of conf/ for all points, as in `dvc exp run -S`; may be repeated.",
)  # fmt: skip
@click.option("-j", "--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Experiments at a time.")
def command(ratios: tuple[float, ...], edits_per_photo: tuple[int, ...], settings: tuple[str, ...], jobs: int) -> None:
    """Draw accuracy against the share of infeasible images: an experiment of DVC for every ratio, then the curves.

    Experiments with the same settings and code are taken as they are; the others go into DVC's queue, where the first
    runs alone, so that what all share (photos, masks, edits, baselines) is made once. The curves go to
    metrics/sweep.json, metrics/plots/sweep.png, MLflow, and into the page with the next `dvc repro`.

    The command may be stopped and given again: it goes on where it was.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    from varireal.sweeping.points import plan_points
    from varireal.sweeping.queue import check_programs

    points = plan_points(ratios, edits_per_photo, settings, paths.CONF)
    check_programs()
    try:
        repo = Repo()
    except DvcException as error:
        raise UserError(f"no DVC repository here ({error}); run from the root of the repository") from error
    with repo:
        logging.getLogger("dvc").setLevel(logging.ERROR)
        experiments = _experiments(repo, points, jobs)
    found = _collect(points, experiments)
    _write(found)
    _track(found, points[0].params.tracking.experiment or found.dataset)


def _experiments(repo: Any, points: Sequence[Point], jobs: int) -> dict[str, Found]:
    """Return the finished experiment of every point by the point's name, after running what was missing."""
    import yaml

    from varireal.compute.progress import progress
    from varireal.sweeping.experiments import finished, free_name, same_as_now
    from varireal.sweeping.points import count_stages
    from varireal.sweeping.queue import Queue

    queue = Queue(repo)
    pipeline = yaml.safe_load(paths.PIPELINE.read_text(encoding="utf-8"))
    ended, waiting = finished(repo), queue.waiting()
    done: dict[str, Found] = {}
    todo: list[tuple[Point, Found | None]] = []
    for point in points:
        same = [found for found in same_as_now(ended, point.params, pipeline) if _readable(found)]
        if same:
            done[point.name] = min(same, key=lambda found: (found.name != point.name, found.name))
        else:
            todo.append((point, next(iter(same_as_now(waiting, point.params, pipeline)), None)))
    _say_what_is_reused(points, done)
    taken = {found.name for found in (*ended, *waiting)}
    stages = count_stages(pipeline, points[0].params)
    # what all share is there already if a point with as many edits is
    alone = 0 if any(p.edits_per_photo == points[0].edits_per_photo for p in points if p.name in done) else 1
    for batch, workers in ((todo[:alone], 1), (todo[alone:], jobs)):
        wanted = {}
        for point, queued in batch:
            wanted[point.name] = queued or queue.put(point, free_name(point.name, taken))
            taken.add(wanted[point.name].name)
        if not wanted:
            continue
        names = ", ".join(found.name for found in wanted.values())
        with progress(f"stages of {names}", stages * len(wanted)) as advance:
            outcomes = _run(queue, list(wanted.values()), workers, stages, advance)
        done |= dict(zip(wanted, _successes(outcomes)))
    return done


def _say_what_is_reused(points: Sequence[Point], done: Mapping[str, Found]) -> None:
    if done:
        click.echo(f"Taken as they are: {', '.join(found.name for found in done.values())}", err=True)
    if missing := [point.name for point in points if point.name not in done]:
        click.echo(f"To run: {', '.join(missing)}", err=True)


def _readable(found: Found) -> bool:
    """Return whether DVC's cache still holds the predictions of an experiment."""
    from varireal.reporting.experiments import read_experiment

    try:
        read_experiment(found.rev)
    except UserError:
        return False
    return True


def _run(queue: Queue, wanted: list[Found], workers: int, stages: int, advance: Any) -> list[Outcome]:
    try:
        return queue.run(wanted, workers, stages, advance)
    except KeyboardInterrupt:
        click.echo(
            "\nThe queue goes on in the background. The same command waits for it again; `dvc queue stop --kill` "
            "ends it.",
            err=True,
        )
        raise


def _successes(outcomes: Sequence[Outcome]) -> list[Found]:
    """Return the experiments' commits.

    Raises:
        UserError: one failed; the end of its log is shown before.
    """
    from varireal.sweeping.experiments import Found

    failed = [outcome for outcome in outcomes if outcome.rev is None]
    for outcome in failed:
        click.echo(f"--- the last lines of {outcome.name} ---\n{outcome.log}\n---", err=True)
    if failed:
        names = ", ".join(outcome.name for outcome in failed)
        raise UserError(
            f"{len(failed)} of {len(outcomes)} experiments failed: {names}; `dvc queue logs {failed[0].name}` shows "
            "all that it printed. Mend the cause and run the same command again: what is finished is kept"
        )
    return [Found(outcome.name, outcome.rev) for outcome in outcomes if outcome.rev is not None]


def _collect(points: Sequence[Point], experiments: Mapping[str, Found]) -> DoseResponse:
    from varireal.reporting.dose import dose_response

    return dose_response([_measured(point, experiments[point.name]) for point in points], points[0].params)


def _measured(point: Point, found: Found) -> SweepExperiment:
    import dataclasses

    from varireal.reporting.dose import SweepExperiment
    from varireal.reporting.experiments import read_experiment

    experiment: Experiment = dataclasses.replace(read_experiment(found.rev), name=found.name)
    return SweepExperiment(point.ratio, point.params.edit.edits_per_photo, found.rev, experiment)


def _write(found: DoseResponse) -> None:
    from varireal.base.files import atomic_write_bytes, write_json
    from varireal.reporting.dose import dose_headline
    from varireal.reporting.dose_drawing import dose_figure, dose_grid
    from varireal.tables import results_console, rich_table

    write_json(paths.SWEEP, found.model_dump(mode="json"))
    atomic_write_bytes(paths.SWEEP_FIGURE, dose_figure(found))
    console = results_console()
    console.print(rich_table(dose_grid(found)))
    console.print(dose_headline(found), highlight=False)
    console.print(f"Curves: {paths.SWEEP_FIGURE}; {_where_next(found)}", highlight=False)


def _where_next(found: DoseResponse) -> str:
    from varireal.config import load_params
    from varireal.reporting.dose import study_key

    if study_key(load_params(paths.PARAMS)) == found.study:
        return "`dvc repro` puts them into the page"
    return "the page leaves them out, as they are of other settings than those of params.yaml"


def _track(found: DoseResponse, experiment: str) -> None:
    from varireal.tracking import TrackingError, log_sweep

    try:
        where = log_sweep(found, experiment, paths.SWEEP, paths.SWEEP_FIGURE)
    except TrackingError as error:
        logging.getLogger(__name__).warning("MLflow was not used (%s); the curves are complete without it", error)
    else:
        click.echo(f"MLflow: {where}")
