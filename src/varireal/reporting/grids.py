"""The page's tables as text: columns, and a tuple of cells for every row."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from varireal.evaluation.comparisons import Verdict
from varireal.rating.agreement import INTENTION, intention_rows
from varireal.reporting.results import Results
from varireal.reporting.table import Row
from varireal.reporting.verdicts import interval_words, p_words, verdict_words, versus
from varireal.reporting.words import percent, signed, with_spread

NUMBER, WORDS, PLAIN = "number", "words", ""  # CSS classes of a column's cells


@dataclasses.dataclass(frozen=True)
class Line:
    """One row of a table."""

    cells: tuple[str, ...]
    kind: str = ""  # a CSS class, from the program and never from data


@dataclasses.dataclass(frozen=True)
class Grid:
    """A table of the page."""

    label: str
    columns: tuple[tuple[str, str], ...]  # name, NUMBER, WORDS or PLAIN
    lines: tuple[Line, ...]


def results_grid(rows: Sequence[Row]) -> Grid:
    """Return the table of the study: top-1 of every cell and what it gains over the baselines."""
    lines = tuple(
        Line((
            row.attribute or "–",
            row.condition or "–",
            "real only" if row.source == "real" else row.source,
            "–" if row.source == "zero-shot" else str(row.top1.count),
            with_spread(row.top1),
            f"{row.top5.mean:.1f}",
            "–" if row.minus_real is None else with_spread(row.minus_real, sign=True),
            "–" if row.minus_zero_shot is None else signed(row.minus_zero_shot),
        ))
        for row in rows
    )  # fmt: skip
    numbers = ("seeds", "top-1 %", "top-5 %", "minus real only", "minus zero-shot")
    columns = (*_plain("attribute", "condition", "training source"), *_numbers(*numbers))
    return Grid("Top-1 of every cell", columns, lines)


def verdict_grid(question: str, verdicts: Sequence[Verdict], margin: float) -> Grid:
    """Return the comparisons of one question with difference, interval, corrected p-values and verdict."""
    lines = tuple(
        Line(
            (
                verdict.comparison.first.attribute or "–",
                verdict.comparison.first.source if verdict.comparison.first.attribute else "–",
                versus(verdict),
                signed(verdict.difference.mean),
                interval_words(verdict),
                p_words(verdict.p_difference_holm),
                p_words(verdict.p_equivalence_holm),
                verdict_words(verdict, margin),
            ),
            verdict.outcome,
        )
        for verdict in verdicts
    )
    numbers = _numbers("points", "95 % interval", "p, different", "p, equivalent")
    return Grid(question, (*_plain("attribute", "training source", "comparison"), *numbers, ("verdict", WORDS)), lines)


def edits_grid(results: Results) -> Grid:
    """Return how many edits of each cell passed the filter, and in how many attempts."""
    lines = tuple(
        Line((
            attribute,
            feasibility,
            *(f"{edits[name]:,}" for name in ("edits", "accepted", "exhausted", "failed")),
            percent(edits["pass_rate"]),
            "–" if edits["mean_attempts"] is None else f"{edits['mean_attempts']:.2f}",
        ))
        for (attribute, feasibility), edits in results.edits.items()
    )  # fmt: skip
    numbers = ("edits", "accepted", "exhausted", "not edited", "pass rate", "attempts per edit")
    return Grid("Edits and the filter", (*_plain("attribute", "feasibility"), *_numbers(*numbers)), lines)


def mixes_grid(results: Results) -> Grid:
    """Return the size and the infeasible share of every synthetic training set."""
    lines = tuple(
        Line((attribute, condition, f"{mix['images']:,}", percent(mix["infeasible_share"])))
        for (attribute, condition), mix in results.mixes.items()
    )
    numbers = _numbers("images", "infeasible share")
    return Grid("Synthetic training sets", (*_plain("attribute", "condition"), *numbers), lines)


def ratings_grid(summary: Mapping[str, Any]) -> Grid:
    """Return how people's ratings agree with what the edits were meant to be, as metrics/ratings.json tells it."""
    lines = tuple(Line(row) for row in intention_rows(summary))
    return Grid("Ratings against the feasibility asked for", columns(("attribute", "rater"), INTENTION), lines)


def columns(plain: Sequence[str], numbers: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Return columns of words, and behind them columns of numbers."""
    return (*_plain(*plain), *_numbers(*numbers))


def _plain(*names: str) -> tuple[tuple[str, str], ...]:
    return tuple((name, PLAIN) for name in names)


def _numbers(*names: str) -> tuple[tuple[str, str], ...]:
    return tuple((name, NUMBER) for name in names)
