"""The chart of top-1: for every cell a band of mean ± spread and a dot per seed, on one axis for all attributes."""

from __future__ import annotations

from collections.abc import Sequence

from varireal.reporting.strips import Axis, Panel, Strip, axis_over
from varireal.reporting.table import Row
from varireal.reporting.words import with_spread


def common_axis(rows: Sequence[Row]) -> Axis:
    """Return the narrowest axis with round ends that holds every seed and every mean ± spread."""
    return axis_over([value for row in rows for value in (*row.points, *_ends(row))])


def build_charts(rows: Sequence[Row]) -> list[Panel]:
    """Return a panel per attribute, all on the same axis, with the baselines as vertical lines."""
    axis = common_axis(rows)
    named = {row.source: row for row in rows if row.attribute is None}
    baselines = tuple((source, axis.place(named[source].top1.mean)) for source in ("zero-shot", "real"))
    return [
        Panel(
            title=attribute,
            strips=tuple(_strip(row, axis) for row in rows if row.attribute == attribute),
            ticks=axis.ticks(),
            marks=baselines,
        )
        for attribute in dict.fromkeys(row.attribute for row in rows if row.attribute is not None)
    ]


def _ends(row: Row) -> tuple[float, float]:
    std = row.top1.std or 0.0
    return max(0.0, row.top1.mean - std), min(100.0, row.top1.mean + std)


def _strip(row: Row, axis: Axis) -> Strip:
    left, right = (axis.place(value) for value in _ends(row))
    return Strip(
        label=f"{row.condition}, {row.source}",
        kind="both" if "+" in row.source else "alone",
        left=left,
        width=right - left,
        mean=axis.place(row.top1.mean),
        dots=tuple(axis.place(value) for value in row.points),
        figures=f"{with_spread(row.top1)} %",
    )
