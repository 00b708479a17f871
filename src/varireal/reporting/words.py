"""What the table shows, said in sentences that claim no more than means and spreads allow."""

from __future__ import annotations

from collections.abc import Sequence

from varireal.evaluation.spread import Spread
from varireal.reporting.results import Results
from varireal.reporting.table import Contrast, Row


def verdict(points: Spread) -> str:
    """Say how a mean difference stands to the spread of its seeds; neither is a statistical test."""
    if points.std is None:
        return "one seed, so its spread is unknown"
    if abs(points.mean) <= points.std:
        return f"within the spread of {points.count} seeds"
    return f"more than the spread of {points.count} seeds"


def signed(value: float) -> str:
    """Return points with a sign and one decimal, without a negative zero: ``+0.4``, ``−1.2``, ``0.0``."""
    text = f"{value:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", "−")


def with_spread(points: Spread, *, sign: bool = False) -> str:
    """Return ``12.3 ± 0.4``, or the mean alone where there is no spread."""
    mean = signed(points.mean) if sign else f"{points.mean:.1f}"
    return mean if points.std is None else f"{mean} ± {points.std:.1f}"


def sentences(results: Results, rows: Sequence[Row], between: Sequence[Contrast]) -> list[str]:
    """Return the reading of the table: baselines, what edits add, and whether feasibility mattered."""
    named = {row.source: row for row in rows if row.attribute is None}
    real = named["real"]
    lines = [
        f"On the test photos CLIP reaches {named['zero-shot'].top1.mean:.1f} % untrained and "
        f"{with_spread(real.top1)} % after training on real photos only.",
        *(_about_source(source, rows) for source in dict.fromkeys(cell.source for cell in results.cells)),
    ]
    lines += [
        f"{pair.attribute}, {pair.source}: feasible minus infeasible is {with_spread(pair.points, sign=True)} points, "
        f"{verdict(pair.points)}."
        for pair in between
    ]
    if between:
        beyond = sum(pair.points.std is not None and abs(pair.points.mean) > pair.points.std for pair in between)
        lines.append(_about_feasibility(beyond, len(between), between[0].points.count))
    return lines


def _about_source(source: str, rows: Sequence[Row]) -> str:
    gains = [(row, row.minus_real) for row in rows if row.source == source and row.minus_real is not None]
    above = sum(points.mean > (points.std or 0.0) for _, points in gains)
    below = sum(points.mean < -(points.std or 0.0) for _, points in gains)
    low, high = min(points.mean for _, points in gains), max(points.mean for _, points in gains)
    if gains[0][1].std is None:
        beyond = "with one seed, its spread is unknown"
    else:
        beyond = f"{above} above and {below} below real-only by more than the spread of their seeds"
    return f"{source}: {signed(low)} to {signed(high)} points against real-only over {len(gains)} cells; {beyond}."


def _about_feasibility(beyond: int, pairs: int, seeds: int) -> str:
    if seeds == 1:
        return "With one seed no difference between feasible and infeasible can be told from chance."
    return (
        f"In {beyond} of {pairs} comparisons feasible and infeasible differ by more than the spread of {seeds} seeds. "
        "A spread over so few seeds is no test: it says what is worth a closer look, not what is significant."
    )
