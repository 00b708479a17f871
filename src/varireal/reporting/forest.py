"""Interval plots of the paired differences: a strip per comparison, the margin as a shaded band around zero."""

from __future__ import annotations

from collections.abc import Sequence

from varireal.evaluation.comparisons import Family, Verdict
from varireal.reporting.strips import Axis, Panel, Strip, axis_over
from varireal.reporting.verdicts import interval_words, versus, where
from varireal.reporting.words import signed


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
            strips=tuple(_strip(verdict, axis) for verdict in own if where(verdict) == title),
            ticks=axis.ticks(sign=True),
            marks=marks,
            band=band,
        )
        for title in dict.fromkeys(where(verdict) for verdict in own)
    ]


def _strip(verdict: Verdict, axis: Axis) -> Strip:
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
