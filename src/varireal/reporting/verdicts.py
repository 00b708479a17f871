"""The verdicts as tables, as JSON and as numbers for MLflow."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from varireal.evaluation.comparisons import ALPHA, Family, Verdict
from varireal.evaluation.controls import sights
from varireal.evaluation.predictions import Model
from varireal.evaluation.statistics import CrossedMean
from varireal.reporting.answers import OUTCOMES, QUESTIONS, Answer, answers, largest
from varireal.reporting.controls import CONTROL_QUESTIONS, controls_answer
from varireal.reporting.words import (
    at_most,
    counted,
    interval_words,
    p_words,
    signed,
    source_of,
    verdict_words,
    versus,
)
from varireal.tables import Grid, Line, columns

TITLES: dict[Family, str] = {**QUESTIONS, **CONTROL_QUESTIONS}  # of every family's table
BOUNDS = ("bound", "detectable")  # figures in points that one seed does not give


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
    questions = {answer.family: _question(answer, verdicts) for answer in answers(verdicts, margin)}
    told = {"margin": margin, "alpha": ALPHA, "questions": questions, "comparisons": compared, "top1": top1}
    return told if (controls := _controls(verdicts, margin)) is None else {"controls": controls, **told}


def _controls(verdicts: Sequence[Verdict], margin: float) -> dict[str, Any] | None:
    """Return what the controls show as JSON values, by attribute and training source; None where there are none."""
    answer = controls_answer(verdicts, margin)
    if answer is None:
        return None
    by_cell: dict[str, Any] = {}
    for sight in sights(verdicts):
        by_cell.setdefault(sight.attribute, {})[sight.source] = {
            "able": sight.able,
            "smallest_harm_seen": sight.seen and sight.seen.comparison.first.condition,
            "points": sight.seen and _round(sight.seen.difference.mean),
            "finds_nothing": sight.finds_nothing,
        }
    return {"answer": answer.short, "able": answer.able, "cells": by_cell}


def _question(answer: Answer, verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Return the figures of a question as JSON values."""
    own = [verdict for verdict in verdicts if verdict.comparison.family == answer.family]
    outcomes = Counter(verdict.outcome for verdict in own)
    return {
        "answer": answer.short,
        "comparisons": len(own),
        "bound": _rounded_up(own[0].family_bound),
        "detectable": _rounded_up(largest(verdict.detectable for verdict in own)),
        **{outcome: outcomes[outcome] for outcome in OUTCOMES},
    }


def verdict_metrics(told: Mapping[str, Any]) -> dict[str, float]:
    """Return difference, interval and bound of every comparison, and each question's, by a path that MLflow allows.

    Args:
        told: from :func:`verdicts_json`; one of an earlier version holds no bounds.
    """
    metrics = {}
    for family, figures in told.get("questions", {}).items():
        known = {name: figures[name] for name in BOUNDS if figures[name] is not None}
        metrics |= {f"question/{family}/{name}": value for name, value in known.items()}
    todo = [("verdict", branch) for branch in told["comparisons"].values()]
    while todo:
        path, branch = todo.pop(0)
        if "points" in branch:
            known = {name: branch.get(name) for name in ("points", "low", "high", *BOUNDS)}
            metrics |= {f"{path}/{name}": value for name, value in known.items() if value is not None}
        else:
            todo += [(f"{path}/{name.replace('+', '-and-')}", inner) for name, inner in branch.items()]
    return metrics


def verdict_grid(verdicts: Sequence[Verdict], margin: float) -> Grid:
    """Return the comparisons of one question for the page, with their corrected p-values."""
    return _grid(TITLES[verdicts[0].comparison.family], "points", verdicts, margin, p_values=True)


def verdict_grids(verdicts: Sequence[Verdict], margin: float) -> list[Grid]:
    """Return a table for the terminal for each question that has comparisons, and for the controls."""
    grids = []
    for family, question in TITLES.items():
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
            "–" if verdict.bound is None else at_most(verdict.bound),
            *tests,
            verdict_words(verdict, margin),
        )
        lines.append(Line(cells, verdict.outcome, section=first.attribute))
    tested = ("p, different", "p, equivalent") if p_values else ()
    heads = (
        *columns("attribute", "training source", "comparison", wrap="never"),
        *columns(points, "95 % interval", "bound", *tested, kind="number", wrap="never"),
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
        "bound": _rounded_up(verdict.bound),
        "detectable": _rounded_up(verdict.detectable),
        "standard_error": _round(difference.standard_error),
        "bootstrap_low": _round(verdict.bootstrap[0]),
        "bootstrap_high": _round(verdict.bootstrap[1]),
        "photos": difference.photos,
        "seeds": difference.seeds,
        "seed_freedom": _round(difference.seed_freedom),
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


def _rounded_up(points: float | None) -> float | None:
    """Return points so that what lies below them stays below."""
    return None if points is None else math.ceil(round(points * 1e4, 6)) / 1e4
