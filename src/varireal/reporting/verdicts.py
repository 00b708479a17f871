"""The verdicts as words, as JSON, as a table in the terminal and as numbers for MLflow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from varireal.evaluation.comparisons import ALPHA, Family, Model, Outcome, Verdict
from varireal.evaluation.statistics import MOST_PHOTOS, MOST_SEEDS, CrossedMean, Size
from varireal.reporting.words import signed

if TYPE_CHECKING:
    from rich.table import Table

QUESTIONS: dict[Family, str] = {
    "feasibility": "Does feasibility matter?",
    "gain": "What does training add?",
}


def label(model: Model) -> str:
    """Return what tells a model from the others of its comparison: its condition, or the baseline's name."""
    return model.condition or {"real": "real only"}.get(model.source, model.source)


def where(verdict: Verdict) -> str:
    """Return attribute and training source of a comparison, such as ``color, synthetic``."""
    return ", ".join(part for part in (verdict.comparison.first.attribute, _source(verdict)) if part) or "baselines"


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
    if verdict.outcome == "different":
        points = verdict.difference.mean
        than = f"{abs(points):.1f} points {'better' if points > 0 else 'worse'} than"
        return f"different: {label(verdict.comparison.first)} is {than} {label(verdict.comparison.second)}"
    if verdict.difference.seeds < 2:
        return "undecided: with one seed the spread over seeds is unknown; at least one more seed is needed"
    if not verdict.needed:
        return f"undecided: not even {MOST_PHOTOS:,} test photos and {MOST_SEEDS:,} seeds would settle it"
    return f"undecided: {_needed_words(verdict.difference, verdict.needed)} would be needed"


def _needed_words(found: CrossedMean, needed: Sequence[Size]) -> str:
    """Return the ways to a verdict, and say it where one of photos and seeds alone is none."""
    ways = []
    for size in needed:
        parts = []
        if size.photos > found.photos:
            parts.append(f"{float(f'{size.photos - found.photos:.2g}'):,.0f} more test photos")
        if size.seeds > found.seeds:
            parts.append(f"{size.seeds - found.seeds} more seeds")
        ways.append(" and ".join(parts))
    only = ""
    if len(needed) == 1 and needed[0].photos == found.photos:
        only = " (seeds are the limit: photos alone would not do)"
    elif len(needed) == 1 and needed[0].seeds == found.seeds:
        only = " (photos are the limit: seeds alone would not do)"
    return f"about {' or '.join(ways)}{only}"


def headline(verdicts: Sequence[Verdict], margin: float) -> list[str]:
    """Return the answers to the study's questions in plain sentences, and the conditions that differ."""
    lines = []
    for family, question in QUESTIONS.items():
        own = [verdict for verdict in verdicts if verdict.comparison.family == family]
        if own:
            lines.append(f"{question} {_answer(Counter(verdict.outcome for verdict in own), len(own), margin)}")
    different = [v for v in verdicts if v.comparison.family == "feasibility" and v.outcome == "different"]
    return lines + [f"{where(verdict)}: {verdict_words(verdict, margin)}." for verdict in different]


def _answer(counts: Counter[Outcome], total: int, margin: float) -> str:
    different, equivalent, undecided = (counts[outcome] for outcome in ("different", "equivalent", "undecided"))
    if equivalent == total:
        return f"No difference that matters: all {total} comparisons are equivalent within ±{margin:g} points."
    if undecided == total:
        return f"This study is too small to say: all {total} comparisons are undecided."
    counted = f"{different} different, {equivalent} equivalent within ±{margin:g} points, {undecided} undecided."
    return f"Of {total} comparisons {counted}"


def p_words(p_value: float) -> str:
    """Return a p-value with three decimals, or ``< 0.001``."""
    return "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"


def verdicts_json(
    verdicts: Sequence[Verdict], accuracies: Mapping[Model, CrossedMean], margin: float
) -> dict[str, Any]:
    """Return everything about every comparison and every model's accuracy, in points and percent.

    Comparisons are nested: family, attribute, training source, then ``<first>_minus_<second>``.
    """
    compared: dict[str, Any] = {}
    for verdict in verdicts:
        branch = compared.setdefault(verdict.comparison.family, {})
        for name in (verdict.comparison.first.attribute, _source(verdict)):
            branch = branch.setdefault(name, {}) if name else branch
        branch[_key(verdict)] = _figures(verdict, margin)
    top1: dict[str, Any] = {}
    for model, mean in accuracies.items():
        low, high = mean.interval()
        top1[model.name] = {"mean": _round(mean.mean), "low": _round(max(0, low)), "high": _round(min(100, high))}
    return {"margin": margin, "alpha": ALPHA, "comparisons": compared, "top1": top1}


def verdict_metrics(verdicts: Sequence[Verdict]) -> dict[str, float]:
    """Return difference and interval of every comparison by a path that MLflow allows as a metric's name."""
    metrics = {}
    for verdict in verdicts:
        parts = ("verdict", verdict.comparison.first.attribute, _source(verdict), _key(verdict))
        path = "/".join(part for part in parts if part).replace("+", "-and-")
        low, high = verdict.interval
        metrics |= {f"{path}/points": verdict.difference.mean, f"{path}/low": low, f"{path}/high": high}
    return metrics


def verdicts_tables(verdicts: Sequence[Verdict], margin: float) -> list[Table]:
    """Return a table for the terminal for each question that has comparisons."""
    by_family = ([v for v in verdicts if v.comparison.family == family] for family in QUESTIONS)
    return [_table(own, margin) for own in by_family if own]


def _table(own: Sequence[Verdict], margin: float) -> Table:
    from rich.table import Table

    found = own[0].difference
    table = Table(
        title=f"{QUESTIONS[own[0].comparison.family]} Differences of top-1 in points, with 95 % intervals over "
        f"{found.photos} test photos and {found.seeds} seed(s)",
        title_justify="left",
        title_style="bold",
    )
    for name in ("attribute", "training source", "comparison"):
        table.add_column(name, no_wrap=True)
    for name in ("difference", "95 % interval"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict", min_width=24)
    for verdict, following in zip(own, [*own[1:], None]):
        first = verdict.comparison.first
        table.add_row(
            first.attribute or "–",
            _source(verdict) or "–",
            versus(verdict),
            signed(verdict.difference.mean),
            interval_words(verdict),
            verdict_words(verdict, margin),
            end_section=following is not None and following.comparison.first.attribute != first.attribute,
        )
    return table


def _source(verdict: Verdict) -> str:
    first = verdict.comparison.first
    return first.source if first.attribute else ""


def _key(verdict: Verdict) -> str:
    names = [model.condition or model.source for model in (verdict.comparison.first, verdict.comparison.second)]
    return "_minus_".join(names).replace("-", "_")


def _figures(verdict: Verdict, margin: float) -> dict[str, Any]:
    found = verdict.difference
    return {
        "outcome": verdict.outcome,
        "words": verdict_words(verdict, margin),
        "points": _round(found.mean),
        "low": _round(verdict.interval[0]),
        "high": _round(verdict.interval[1]),
        "standard_error": _round(found.standard_error),
        "bootstrap_low": _round(verdict.bootstrap[0]),
        "bootstrap_high": _round(verdict.bootstrap[1]),
        "photos": found.photos,
        "seeds": found.seeds,
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
