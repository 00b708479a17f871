"""`varireal sweep`: accuracy against the share of infeasible images. No stage: it runs experiments and reads them."""

from __future__ import annotations

from typing import Any

import click

from varireal import paths
from varireal.reporting.dose import dose_headline
from varireal.reporting.dose_drawing import dose_grid
from varireal.sweeping.points import plan_points
from varireal.sweeping.sweep import next_step, run_sweep, track_sweep, write_sweep
from varireal.tables import results_console, rich_table

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
            numbers = tuple(self._kind(part) for part in value.split(",")) if value else ()
        except ValueError:
            self.fail(f"{value!r} is no list of numbers such as {RATIOS if self._kind is float else '1,3'}", param, ctx)
        if wrong := [each for each in numbers if not self._least <= each <= (1 if self._kind is float else each)]:
            limits = "between 0 and 1" if self._kind is float else f"{self._least:g} or more"
            self.fail(f"{wrong[0]:g} is not {limits}", param, ctx)
        return numbers


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
    points = plan_points(ratios, edits_per_photo, settings, paths.CONF)
    dose = run_sweep(points, jobs, tell=lambda line: click.echo(line, err=True))
    write_sweep(dose)
    console = results_console()
    console.print(rich_table(dose_grid(dose)))
    console.print(dose_headline(dose), highlight=False)
    console.print(f"Curves: {paths.SWEEP_FIGURE}; {next_step(dose)}", highlight=False)
    if where := track_sweep(dose, points[0].params.tracking.experiment):
        click.echo(f"MLflow: {where}")
