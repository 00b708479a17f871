"""The verdicts as answers, as tables, as JSON and as numbers for MLflow."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from varireal.evaluation.comparisons import ALPHA, Family, Outcome, Verdict
from varireal.evaluation.predictions import Model
from varireal.evaluation.statistics import CrossedMean
from varireal.reporting.words import (
    counted,
    interval_words,
    label,
    needed_words,
    p_words,
    signed,
    source_of,
    verdict_words,
    versus,
    where,
)
from varireal.tables import Grid, Line, columns

QUESTIONS: dict[Family, str] = {
    "feasibility": "Does feasibility matter?",
    "gain": "What does training add?",
    "experiments": "Do the experiments differ?",
}


@dataclasses.dataclass(frozen=True)
class Answer:
    """What the comparisons of one question say together, in plain sentences."""

    question: str
    short: str
    details: tuple[str, ...]


def answers(verdicts: Sequence[Verdict], margin: float) -> list[Answer]:
    """Return an answer to each question of the study that has comparisons."""
    given = []
    for family, question in QUESTIONS.items():
        own = [verdict for verdict in verdicts if verdict.comparison.family == family]
        if own:
            short = _short_answer(Counter(verdict.outcome for verdict in own), len(own), margin)
            undecided = [verdict for verdict in own if verdict.outcome == "undecided"]
            given.append(Answer(question, short, (*_which_differ(own), *_what_is_open(undecided))))
    return given


def headline(verdicts: Sequence[Verdict], margin: float) -> list[str]:
    """Return the answers as lines for the terminal."""
    return [
        line
        for answer in answers(verdicts, margin)
        for line in (f"{answer.question} {answer.short}", *(f"  {detail}" for detail in answer.details))
    ]


def _short_answer(counts: Counter[Outcome], total: int, margin: float) -> str:
    different, equivalent, undecided = (counts[outcome] for outcome in ("different", "equivalent", "undecided"))
    of_all = f"{total} of {counted(total, 'comparison')}"
    if equivalent == total:
        return f"No difference that matters: equivalent within ±{margin:g} points in {of_all}."
    if undecided == total:
        return f"This study is too small to say: undecided in {of_all}."
    shares = f"{different} different, {equivalent} equivalent within ±{margin:g} points, {undecided} undecided"
    return f"Of {counted(total, 'comparison')} {shares}."


def _which_differ(verdicts: Sequence[Verdict]) -> list[str]:
    """Return a sentence for every pair of conditions and direction, naming the cells where it was found."""
    by_claim: defaultdict[str, list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        if verdict.outcome == "different":
            pair, better = verdict.comparison, "better" if verdict.difference.mean > 0 else "worse"
            by_claim[f"{label(pair.first)} is {better} than {label(pair.second)}"].append(verdict)
    return [
        f"{claim}: {'; '.join(f'{where(v)} ({signed(v.difference.mean)})' for v in own)}."
        for claim, own in by_claim.items()
    ]


def _what_is_open(undecided: Sequence[Verdict]) -> list[str]:
    """Return how far the undecided differences could lie from zero, and what would decide the nearest of them."""
    if not undecided:
        return []
    means = [verdict.difference.mean for verdict in undecided]
    low, high = min(v.interval[0] for v in undecided), max(v.interval[1] for v in undecided)
    lines = [
        f"The undecided differences lie from {signed(min(means))} to {signed(max(means))} points, but their "
        f"95 % intervals reach from {signed(low)} to {signed(high)}."
    ]
    planned = [(size.photos * size.seeds, k) for k, v in enumerate(undecided) for size in v.needed]
    if planned:
        nearest = undecided[min(planned)[1]]
        lines.append(
            f"Nearest to a verdict is {where(nearest)} ({versus(nearest)}): "
            f"it needs {needed_words(nearest.difference.photos, nearest.difference.seeds, nearest.needed)}."
        )
    return lines


def verdicts_json(
    verdicts: Sequence[Verdict], accuracies: Mapping[Model, CrossedMean], margin: float
) -> dict[str, Any]:
    """Return everything about every comparison and every model's accuracy, in points and percent.

    Comparisons are nested: family, attribute, training source, then ``<first>_minus_<second>``.
    """
    compared: dict[str, Any] = {}
    for verdict in verdicts:
        branch = compared.setdefault(verdict.comparison.family, {})
        for name in (verdict.comparison.first.attribute, source_of(verdict)):
            branch = branch.setdefault(name, {}) if name else branch
        branch[_key(verdict)] = figures(verdict, margin)
    top1: dict[str, Any] = {}
    for model, mean in accuracies.items():
        low, high = mean.interval()
        top1[model.name] = {"mean": _round(mean.mean), "low": _round(max(0, low)), "high": _round(min(100, high))}
    return {"margin": margin, "alpha": ALPHA, "comparisons": compared, "top1": top1}


def verdict_metrics(told: Mapping[str, Any]) -> dict[str, float]:
    """Return difference and interval of every comparison by a path that MLflow allows as a metric's name.

    Args:
        told: from :func:`verdicts_json`.
    """
    metrics = {}
    todo = [("verdict", branch) for branch in told["comparisons"].values()]
    while todo:
        path, branch = todo.pop(0)
        if "points" in branch:
            metrics |= {f"{path}/{name}": branch[name] for name in ("points", "low", "high")}
        else:
            todo += [(f"{path}/{name.replace('+', '-and-')}", inner) for name, inner in branch.items()]
    return metrics


def verdict_grid(verdicts: Sequence[Verdict], margin: float) -> Grid:
    """Return the comparisons of one question for the page, with their corrected p-values."""
    return _grid(QUESTIONS[verdicts[0].comparison.family], "points", verdicts, margin, p_values=True)


def verdict_grids(verdicts: Sequence[Verdict], margin: float) -> list[Grid]:
    """Return a table for the terminal for each question that has comparisons."""
    grids = []
    for family, question in QUESTIONS.items():
        if own := [verdict for verdict in verdicts if verdict.comparison.family == family]:
            photos, seeds = own[0].difference.photos, own[0].difference.seeds
            title = (
                f"{question} Differences of top-1 in points, with 95 % intervals over "
                f"{counted(photos, 'test photo')} and {counted(seeds, 'seed')}"
            )
            grids.append(_grid(title, "difference", own, margin, p_values=False))
    return grids


def _grid(title: str, points: str, verdicts: Sequence[Verdict], margin: float, *, p_values: bool) -> Grid:
    """Return a line for every comparison.

    Args:
        points: the heading of the differences.
    """
    lines = []
    for verdict in verdicts:
        first = verdict.comparison.first
        tests = (p_words(verdict.p_difference_holm), p_words(verdict.p_equivalence_holm)) if p_values else ()
        cells = (
            first.attribute or "–",
            source_of(verdict) or "–",
            versus(verdict),
            signed(verdict.difference.mean),
            interval_words(verdict),
            *tests,
            verdict_words(verdict, margin),
        )
        lines.append(Line(cells, verdict.outcome, section=first.attribute))
    tested = ("p, different", "p, equivalent") if p_values else ()
    heads = (
        *columns("attribute", "training source", "comparison", wrap="never"),
        *columns(points, "95 % interval", *tested, kind="number", wrap="never"),
        *columns("verdict", kind="words", min_width=24),
    )
    return Grid(title, heads, tuple(lines))


def _key(verdict: Verdict) -> str:
    names = [model.condition or model.source for model in (verdict.comparison.first, verdict.comparison.second)]
    return "_minus_".join(names).replace("-", "_")


def figures(verdict: Verdict, margin: float) -> dict[str, Any]:
    """Return the figures of a comparison as JSON values: points of top-1 and p-values, rounded to four decimals."""
    difference = verdict.difference
    return {
        "outcome": verdict.outcome,
        "words": verdict_words(verdict, margin),
        "points": _round(difference.mean),
        "low": _round(verdict.interval[0]),
        "high": _round(verdict.interval[1]),
        "standard_error": _round(difference.standard_error),
        "bootstrap_low": _round(verdict.bootstrap[0]),
        "bootstrap_high": _round(verdict.bootstrap[1]),
        "photos": difference.photos,
        "seeds": difference.seeds,
        "p_difference": _round(verdict.p_difference),
        "p_difference_holm": _round(verdict.p_difference_holm),
        "p_equivalence": _round(verdict.p_equivalence),
        "p_equivalence_holm": _round(verdict.p_equivalence_holm),
        "mcnemar": _round(verdict.mcnemar),
        "mcnemar_by_seed": [_round(p) for p in verdict.mcnemar_by_seed],
        "needed": [{"photos": size.photos, "seeds": size.seeds} for size in verdict.needed],
    }


def _round(value: float) -> float:
    return round(value, 4)
