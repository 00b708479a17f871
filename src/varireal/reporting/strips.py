"""Geometry of the plots that have a line of text per result: a bar with dots on one axis, in percent of its width.

Percent, not pixels: the page draws strips as wide as the screen allows, with text that keeps its size.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

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
