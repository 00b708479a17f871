"""Geometry of the chart: for every cell a bar of mean ± spread and a dot per seed, on one common axis."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from varireal.reporting.table import Row

LABEL_WIDTH, PLOT_WIDTH, RIGHT = 206, 320, 24  # in units of the SVG's view box
LINE_HEIGHT, TOP, BOTTOM = 26, 8, 34


@dataclasses.dataclass(frozen=True)
class Bar:
    """One cell, in coordinates of the view box."""

    label: str
    source: str
    y: float  # middle of the line
    left: float  # mean - spread
    width: float
    mean: float
    dots: tuple[float, ...]
    title: str


@dataclasses.dataclass(frozen=True)
class Chart:
    """One attribute's cells beside the baselines."""

    attribute: str
    width: float
    height: float
    label_end: float  # x at which the cells' names end
    bars: tuple[Bar, ...]
    baselines: tuple[tuple[str, float], ...]  # source, x
    ticks: tuple[tuple[str, float], ...]  # label, x


@dataclasses.dataclass(frozen=True)
class Axis:
    """A range of percent in which every row lies, with round ticks."""

    low: float
    high: float
    step: float

    def x(self, value: float) -> float:
        """Return the place of a percentage on the plot."""
        return LABEL_WIDTH + (value - self.low) / (self.high - self.low) * PLOT_WIDTH


def common_axis(rows: Sequence[Row]) -> Axis:
    """Return the narrowest axis with round ends that holds every seed and every mean ± spread."""
    values = [value for row in rows for value in (*row.points, *_ends(row))]
    low, high = max(0.0, min(values)), min(100.0, max(values))
    step = next((s for s in (1, 2, 5, 10, 20) if (high - low) / s <= 6), 20)
    start, end = math.floor(low / step) * step, math.ceil(high / step) * step
    return Axis(start, max(end, start + step), step)


def build_charts(rows: Sequence[Row]) -> list[Chart]:
    """Return a chart per attribute, all on the same axis."""
    axis = common_axis(rows)
    named = {row.source: row for row in rows if row.attribute is None}
    baselines = tuple((source, axis.x(named[source].top1.mean)) for source in ("zero-shot", "real"))
    count = round((axis.high - axis.low) / axis.step)
    ticks = tuple((f"{axis.low + k * axis.step:g} %", axis.x(axis.low + k * axis.step)) for k in range(count + 1))
    charts = []
    for attribute in dict.fromkeys(row.attribute for row in rows if row.attribute is not None):
        own = [row for row in rows if row.attribute == attribute]
        bars = tuple(_bar(row, axis, TOP + (k + 0.5) * LINE_HEIGHT) for k, row in enumerate(own))
        height = TOP + len(own) * LINE_HEIGHT + BOTTOM
        charts.append(
            Chart(attribute, LABEL_WIDTH + PLOT_WIDTH + RIGHT, height, LABEL_WIDTH - 12, bars, baselines, ticks)
        )
    return charts


def _ends(row: Row) -> tuple[float, float]:
    std = row.top1.std or 0.0
    return max(0.0, row.top1.mean - std), min(100.0, row.top1.mean + std)


def _bar(row: Row, axis: Axis, y: float) -> Bar:
    left, right = (axis.x(value) for value in _ends(row))
    return Bar(
        label=f"{row.condition}, {row.source}",
        source=row.source,
        y=y,
        left=left,
        width=right - left,
        mean=axis.x(row.top1.mean),
        dots=tuple(axis.x(value) for value in row.points),
        title=f"{row.cell}: {row.top1.mean:.1f} %",
    )
