"""Plots that have a line of text per result, a bar with dots on one axis: top-1 of the cells, paired differences.

Percent, not pixels: the page draws strips as wide as the screen allows, with text that keeps its size.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from varireal.evaluation.comparisons import Family, Verdict
from varireal.reporting.table import Row, section_of
from varireal.reporting.words import condition_words, interval_words, signed, versus, where, with_spread

STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50)
MOST_TICKS = 6


@dataclasses.dataclass(frozen=True)
class Strip:
    """One result. Places are percent of the plot's width."""

    label: str
    kind: str  # a CSS class, from the program and never from data
    left: float  # start of the bar
    width: float
    mean: float
    dots: tuple[float, ...]
    figures: str


@dataclasses.dataclass(frozen=True)
class Panel:
    """Strips on a common axis."""

    title: str
    strips: tuple[Strip, ...]
    ticks: tuple[tuple[str, float], ...]  # label, place
    marks: tuple[tuple[str, float], ...] = ()  # CSS class of a vertical line, place
    band: tuple[float, float] | None = None  # left and width of a shaded range


@dataclasses.dataclass(frozen=True)
class Axis:
    """A range of values with round ends and round ticks."""

    low: float
    high: float
    step: float

    def place(self, value: float) -> float:
        """Return the place of a value in percent of the axis."""
        return (value - self.low) / (self.high - self.low) * 100

    def ticks(self, *, sign: bool = False) -> tuple[tuple[str, float], ...]:
        """Return the ticks' labels and places."""
        count = round((self.high - self.low) / self.step)
        values = [round(self.low + k * self.step, 6) for k in range(count + 1)]
        form = "{:+g}" if sign else "{:g}"
        labels = [(form.format(value) if value else "0").replace("-", "−") for value in values]
        return tuple((label, 100 * k / count) for k, label in enumerate(labels))


def axis_over(values: Sequence[float]) -> Axis:
    """Return the narrowest axis with round ends that holds the values, with at most seven ticks or so.

    Raises:
        ValueError: there is no value.
    """
    low, high = min(values), max(values)
    step = next((s for s in STEPS if (high - low) / s <= MOST_TICKS), STEPS[-1])
    start, end = math.floor(round(low / step, 6)) * step, math.ceil(round(high / step, 6)) * step
    return Axis(start, max(end, start + step), step)


def common_axis(rows: Sequence[Row]) -> Axis:
    """Return the narrowest axis with round ends that holds every seed and every mean ± spread."""
    return axis_over([value for row in rows for value in (*row.points, *_spread_ends(row))])


def build_charts(rows: Sequence[Row]) -> list[Panel]:
    """Return a panel per attribute, and per its controls, on one axis with the baselines as vertical lines."""
    axis = common_axis(rows)
    named = {row.source: row for row in rows if row.attribute is None}
    baselines = tuple(
        (source, axis.place(named[source].top1.mean)) for source in ("zero-shot", "real") if source in named
    )
    return [
        Panel(
            title=title,
            strips=tuple(_top1_strip(row, axis) for row in rows if section_of(row) == title),
            ticks=axis.ticks(),
            marks=baselines,
        )
        for title in dict.fromkeys(section_of(row) for row in rows)
        if title is not None
    ]


def _spread_ends(row: Row) -> tuple[float, float]:
    std = row.top1.std or 0.0
    return max(0.0, row.top1.mean - std), min(100.0, row.top1.mean + std)


def _top1_strip(row: Row, axis: Axis) -> Strip:
    left, right = (axis.place(value) for value in _spread_ends(row))
    return Strip(
        label=f"{condition_words(row.condition or '')}, {row.source}",
        kind="both" if "+" in row.source else "alone",
        left=left,
        width=right - left,
        mean=axis.place(row.top1.mean),
        dots=tuple(axis.place(value) for value in row.points),
        figures=f"{with_spread(row.top1)} %",
    )


def build_forest(verdicts: Sequence[Verdict], family: Family, margin: float) -> list[Panel]:
    """Return a panel per attribute and training source, all on the same axis, in the order of the verdicts.

    Args:
        family: the question whose comparisons are drawn.
        margin: points of top-1 within which a difference does not matter.
    """
    own = [verdict for verdict in verdicts if verdict.comparison.family == family]
    if not own:
        return []
    axis = axis_over([-margin, margin, *(end for verdict in own for end in verdict.interval)])
    band = (axis.place(-margin), axis.place(margin) - axis.place(-margin))
    marks = (("zero", axis.place(0)),)
    return [
        Panel(
            title=title,
            strips=tuple(_interval_strip(verdict, axis) for verdict in own if where(verdict) == title),
            ticks=axis.ticks(sign=True),
            marks=marks,
            band=band,
        )
        for title in dict.fromkeys(where(verdict) for verdict in own)
    ]


def _interval_strip(verdict: Verdict, axis: Axis) -> Strip:
    left, right = (axis.place(end) for end in verdict.interval)
    return Strip(
        label=versus(verdict),
        kind=verdict.outcome,
        left=left,
        width=right - left,
        mean=axis.place(verdict.difference.mean),
        dots=(),
        figures=f"{signed(verdict.difference.mean)} ({interval_words(verdict)})",
    )
