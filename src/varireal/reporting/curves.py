"""Training curves: mean over seeds on val, a small plot for every attribute and training source."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from statistics import fmean

from varireal.config.controls import is_control
from varireal.reporting.results import CellResult, Results
from varireal.reporting.strips import Axis, axis_over
from varireal.reporting.words import condition_words

MEASURES = {"val_top1": "Top-1 on val (%)", "train_loss": "Training loss"}
LEFT, TOP, WIDTH, HEIGHT, MARGIN = 40.0, 8.0, 280.0, 150.0, 24.0  # of the plot, in units of the SVG's view box


@dataclasses.dataclass(frozen=True)
class Curve:
    """One line of a plot."""

    kind: str  # real, the condition, or harm or null: a CSS class
    points: tuple[tuple[float, float], ...]  # in the view box
    words: str  # first and last value, for those who cannot see it


@dataclasses.dataclass(frozen=True)
class CurvePlot:
    """The conditions, or the controls, of one attribute and training source beside training on real photos only."""

    title: str
    curves: tuple[Curve, ...]
    x_ticks: tuple[tuple[str, float], ...]
    y_ticks: tuple[tuple[str, float], ...]

    @property
    def words(self) -> str:
        """Return the plot in words."""
        return f"{self.title}: " + "; ".join(curve.words for curve in self.curves)


def build_curves(results: Results, measure: str) -> list[CurvePlot]:
    """Return the plots of one of ``MEASURES``, all on the same axes."""
    cells = (*results.cells, *results.controls)
    means = {cell.name: _mean_curve(cell, measure) for cell in (results.real, *cells)}
    looks = [point for curve in means.values() for point in curve]
    if not looks:
        return []
    x_axis, y_axis = axis_over([step for step, _ in looks]), axis_over([value for _, value in looks])
    plots = []
    for title in dict.fromkeys(_title(cell) for cell in cells):
        own = [cell for cell in cells if _title(cell) == title]
        curves = tuple(_curve(cell, means[cell.name], x_axis, y_axis) for cell in (results.real, *own))
        x_ticks = tuple((label, LEFT + place / 100 * WIDTH) for label, place in x_axis.ticks())
        y_ticks = tuple((label, TOP + HEIGHT - place / 100 * HEIGHT) for label, place in y_axis.ticks())
        plots.append(CurvePlot(title, curves, x_ticks, y_ticks))
    return plots


def _title(cell: CellResult) -> str:
    return f"{cell.attribute}, {cell.source}{', controls' if is_control(cell.condition) else ''}"


def _mean_curve(cell: CellResult, measure: str) -> list[tuple[float, float]]:
    """Return (step, mean over the seeds that looked there) in the order of the steps."""
    by_step: dict[float, list[float]] = {}
    for run in cell.runs:
        for look in run.curve:
            by_step.setdefault(look["step"], []).append(look[measure])
    return [(step, fmean(values)) for step, values in sorted(by_step.items())]


def _curve(cell: CellResult, mean: Sequence[tuple[float, float]], x_axis: Axis, y_axis: Axis) -> Curve:
    name = condition_words(cell.condition) if cell.condition else "real only"
    points = tuple(
        (LEFT + x_axis.place(step) / 100 * WIDTH, TOP + HEIGHT - y_axis.place(value) / 100 * HEIGHT)
        for step, value in mean
    )
    words = f"{name} from {mean[0][1]:.3g} at step {mean[0][0]:g} to {mean[-1][1]:.3g} at step {mean[-1][0]:g}"
    # a control's class is its family's name: all harms are drawn alike
    kind = cell.condition.partition("-")[0] if cell.condition else "real"
    return Curve(kind, points, words)
