"""The tables of a preview: cells, networks and the forecast, for the terminal and for the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from varireal.doctor.estimate import readable_seconds
from varireal.doctor.findings import readable_bytes
from varireal.previewing.warnings import mean_of
from varireal.reporting.words import percent
from varireal.tables import Grid, Line, columns

if TYPE_CHECKING:
    from varireal.doctor.findings import Finding
    from varireal.previewing.cells import PreviewedCell
    from varireal.previewing.probe import Measured

DASH = "–"
SHORT = 20.0  # seconds, below which tenths are shown


def cells_grid(cells: Sequence[PreviewedCell], chances: Sequence[float | None]) -> Grid:
    """Return a line for every cell: what the filter accepted, and how strong the edits are."""
    lines = []
    for cell, chance in zip(cells, chances):
        unedited = [each.unedited.accepted for each in cell.made if each.unedited is not None and cell.thresholds]
        lines.append(
            Line(
                (
                    cell.name,
                    f"{cell.accepted} of {len(cell.made)}" if cell.thresholds else f"{len(cell.made)}, not judged",
                    str(cell.attempts),
                    _scores(cell),
                    f"{sum(unedited)} of {len(unedited)}" if unedited else DASH,
                    _number(mean_of(cell, "delta_e")),
                    percent(mean_of(cell, "untouched")),
                    percent(mean_of(cell, "lost")),
                    percent(chance),
                ),
                section=cell.attribute,
            )
        )
    heading = (
        *columns("cell", "accepted", "attempts"),
        *columns("scores", kind="words"),  # of three questions they are wider than a phone
        *columns("photos accepted", "ΔE", "left as it was", "wrongly changed", "mix"),
    )
    return Grid("What the filter accepted, and how strong the edits are", heading, tuple(lines))


def _scores(cell: PreviewedCell) -> str:
    """Return the mean score of first attempts, question by question."""
    if not cell.thresholds or not cell.made:
        return DASH
    first = [each.edit.attempts[0].judged.scores for each in cell.made]
    return ", ".join(f"{name} {fmean(scores[name] for scores in first):.2f}" for name in sorted(cell.thresholds))


def _number(value: float | None) -> str:
    return DASH if value is None else f"{value:.0f}"


def networks_grid(parts: Mapping[str, Measured]) -> Grid:
    """Return a line for every network of every part of the run, with its time and memory.

    Args:
        parts: what was measured, by part: masks, pictures for priors, edits of an attribute.
    """
    lines = []
    for part, measured in parts.items():
        for name, use in sorted(measured.uses.items(), key=lambda item: -item[1].seconds):
            each = f"{1000 * use.seconds / use.rows:.0f} ms" if use.rows else DASH
            peak = readable_bytes(use.peak) if use.peak else DASH
            share = percent(use.seconds / measured.seconds)
            cells = (part, name, str(use.calls), str(use.rows), _seconds(use.seconds), each, share)
            lines.append(Line((*cells, readable_bytes(use.weights), peak), section=part))
        rest = measured.seconds - sum(use.seconds for use in measured.uses.values())
        if measured.items:
            share = percent(rest / measured.seconds)
            cells = (part, "all else", DASH, str(measured.items), _seconds(rest))
            lines.append(Line((*cells, f"{1000 * rest / measured.items:.0f} ms", share, DASH, DASH), section=part))
    names = ("network", "calls", "items", "time", "an item", "of the part", "weights", "most memory")
    return Grid("Time and memory by network", columns("part", *names), tuple(lines))


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < SHORT else readable_seconds(seconds)


def forecast_grid(findings: Sequence[Finding]) -> Grid:
    """Return the forecast of time and disk."""
    lines = [Line((finding.name, finding.found)) for finding in findings]
    heading = (*columns("what"), *columns("forecast", kind="words", wrap="fold"))
    return Grid("The whole run, from nothing", heading, tuple(lines))
