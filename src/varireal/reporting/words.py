"""Numbers as the table, the verdicts and the page write them."""

from __future__ import annotations

from varireal.evaluation.statistics import Spread


def signed(value: float) -> str:
    """Return points with a sign and one decimal, without a negative zero: ``+0.4``, ``−1.2``, ``0.0``."""
    text = f"{value:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", "−")


def with_spread(points: Spread, *, sign: bool = False) -> str:
    """Return ``12.3 ± 0.4``, or the mean alone where there is no spread."""
    mean = signed(points.mean) if sign else f"{points.mean:.1f}"
    return mean if points.std is None else f"{mean} ± {points.std:.1f}"


def counted(number: float, noun: str) -> str:
    """Return a count with its noun, in the plural unless it is one: ``1 seed``, ``1,200 photos``."""
    return f"{number:,.0f} {noun}{'' if number == 1 else 's'}"


def percent(share: float | None) -> str:
    """Return a share (0..1) in whole percent, or a dash where there is none."""
    return "–" if share is None else f"{100 * share:.0f} %"
