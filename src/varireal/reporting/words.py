"""Numbers and verdicts in words, as the tables, the page and the terminal write them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from varireal.config.controls import dose
from varireal.evaluation.comparisons import ALPHA, Verdict
from varireal.evaluation.planning import MOST_TIMES, Size
from varireal.evaluation.predictions import Model
from varireal.evaluation.statistics import POINTS, Spread

UNPROVEN = "not shown to be able to see"  # in place of equivalent, where the controls do not bear it out
BESIDE = {"synthetic": "alone", "real+synthetic": "with real photos"}  # how edits were trained with
ABOUT = 2.0  # a difference is about the margin if neither is more than so many times the other


def signed(value: float) -> str:
    """Return points with a sign and one decimal, without a negative zero: ``+0.4``, ``−1.2``, ``0.0``."""
    text = f"{value:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", "−")


def at_most(points: float) -> str:
    """Return points rounded up, so that what is below them stays below: one decimal, or two below 1 where needed."""
    if points >= 1:
        return f"{math.ceil(round(10 * points, 6)) / 10:.1f}"
    return f"{math.ceil(round(100 * points, 6)) / 100:g}"


def less_than(bound: float | None) -> str:
    """Return a bound in words, such as ``less than 1.9 points``."""
    if bound is None:
        return "by an unknown amount, with one seed"
    return f"less than {at_most(bound)} points" if bound < POINTS else "any number of points"


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


def p_words(p_value: float) -> str:
    """Return a p-value with three decimals, or ``< 0.001``."""
    return "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"


def condition_words(condition: str) -> str:
    """Return a condition as people read it, such as ``20 % wrong labels`` for the control ``harm-20``."""
    return f"{percent(share)} wrong labels" if (share := dose(condition)) else condition


def outcome_words(outcome: str) -> str:
    """Return an outcome as people read it."""
    return UNPROVEN if outcome == "unproven" else outcome


def label(model: Model) -> str:
    """Return what tells a model from the others of its comparison: experiment, condition or the baseline's name."""
    named = model.experiment or condition_words(model.condition)
    return named or {"real": "real only"}.get(model.source, model.source)


def where(verdict: Verdict) -> str:
    """Return attribute and training source of a comparison, such as ``color, synthetic``."""
    return ", ".join(part for part in (verdict.comparison.first.attribute, source_of(verdict)) if part) or "baselines"


def versus(verdict: Verdict) -> str:
    """Return what is taken from what, such as ``feasible − infeasible``."""
    return f"{label(verdict.comparison.first)} − {label(verdict.comparison.second)}"


def interval_words(verdict: Verdict) -> str:
    """Return the 95 % interval of the difference in points, such as ``−1.1 to +2.3``."""
    low, high = verdict.interval
    return f"{signed(low)} to {signed(high)}"


def verdict_words(verdict: Verdict, margin: float) -> str:
    """Return the verdict in words; an undecided one says what a study that decides would need."""
    if verdict.outcome == "equivalent":
        there = verdict.p_difference_holm <= ALPHA
        return f"equivalent within ±{margin:g}" + (" (a difference is there, but smaller than that)" if there else "")
    if verdict.outcome == "unproven":
        return f"{UNPROVEN}: within ±{margin:g}, but the controls are not as they should be"
    if verdict.outcome == "different":
        points = verdict.difference.mean
        than = f"{abs(points):.1f} points {'better' if points > 0 else 'worse'} than"
        return f"different: {label(verdict.comparison.first)} is {than} {label(verdict.comparison.second)}"
    difference = verdict.difference
    return undecided_words(difference.mean, margin, difference.photos, difference.seeds, verdict.needed)


def undecided_words(points: float, margin: float, photos: int, seeds: int, needed: Sequence[Size]) -> str:
    """Return what a study of ``photos`` test photos and ``seeds`` lacks, from the sizes that would decide."""
    if seeds < 2:
        return "undecided: needs a second seed, to know the spread over seeds"
    if not needed:
        return (
            f"undecided: {hopeless_words(points, margin)}, and {MOST_TIMES} times the photos and seeds would not do; "
            "widen the margin or lower the noise"
        )
    return f"undecided: needs {needed_words(photos, seeds, needed)}"


def hopeless_words(points: float, margin: float) -> str:
    """Return why no realistic study decides: the difference is close to the margin, or both drown in noise."""
    if margin / ABOUT <= abs(points) <= ABOUT * margin:
        return "the difference measured is about the margin itself"
    return "the noise is too large for this margin"


def needed_words(photos: int, seeds: int, needed: Sequence[Size]) -> str:
    """Return the ways to a verdict; where photos or seeds are not named, no number of them alone would do."""
    ways = []
    for size in needed:
        parts = []
        if size.photos > photos:
            parts.append(counted(float(f"{size.photos - photos:.2g}"), "more photo"))
        if size.seeds > seeds:
            parts.append(counted(size.seeds - seeds, "more seed"))
        ways.append(" and ".join(parts))
    return f"about {' or '.join(ways)}"


def source_of(verdict: Verdict) -> str:
    """Return the training source of a comparison, nothing for the baselines."""
    first = verdict.comparison.first
    return first.source if first.attribute else ""
