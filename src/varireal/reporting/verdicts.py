"""The verdicts as words, as JSON, as a table in the terminal and as numbers for MLflow."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from varireal.evaluation.comparisons import ALPHA, Family, Outcome, Verdict
from varireal.evaluation.predictions import Model
from varireal.evaluation.statistics import MOST_PHOTOS, MOST_SEEDS, CrossedMean, Size
from varireal.reporting.words import counted, signed

if TYPE_CHECKING:
    from rich.table import Table

QUESTIONS: dict[Family, str] = {
    "feasibility": "Does feasibility matter?",
    "gain": "What does training add?",
    "experiments": "Do the experiments differ?",
}


def label(model: Model) -> str:
    """Return what tells a model from the others of its comparison: experiment, condition or the baseline's name."""
    return model.experiment or model.condition or {"real": "real only"}.get(model.source, model.source)


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
    return undecided_words(verdict.difference.photos, verdict.difference.seeds, verdict.needed)


def undecided_words(photos: int, seeds: int, needed: Sequence[Size]) -> str:
    """Return what a study of ``photos`` test photos and ``seeds`` lacks, from the sizes that would decide."""
    if seeds < 2:
        return "undecided: needs a second seed, to know the spread over seeds"
    if not needed:
        return f"undecided: even {MOST_PHOTOS:,} test photos and {MOST_SEEDS:,} seeds would not do"
    return f"undecided: needs {_needed_words(photos, seeds, needed)}"


def _needed_words(photos: int, seeds: int, needed: Sequence[Size]) -> str:
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


@dataclasses.dataclass(frozen=True)
class Answer:
    """What the comparisons of one question say together, in plain sentences."""

    question: str
    short: str
    details: tuple[str, ...]


def answers(verdicts: Sequence[Verdict], margin: float) -> list[Answer]:
    """Return an answer to each question of the study that has comparisons."""
    found = []
    for family, question in QUESTIONS.items():
        own = [verdict for verdict in verdicts if verdict.comparison.family == family]
        if own:
            short = _short_answer(Counter(verdict.outcome for verdict in own), len(own), margin)
            undecided = [verdict for verdict in own if verdict.outcome == "undecided"]
            found.append(Answer(question, short, (*_which_differ(own), *_what_is_open(undecided))))
    return found


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
            f"it needs {_needed_words(nearest.difference.photos, nearest.difference.seeds, nearest.needed)}."
        )
    return lines


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


def verdicts_tables(verdicts: Sequence[Verdict], margin: float) -> list[Table]:
    """Return a table for the terminal for each question that has comparisons."""
    by_family = ([v for v in verdicts if v.comparison.family == family] for family in QUESTIONS)
    return [_table(own, margin) for own in by_family if own]


def _table(own: Sequence[Verdict], margin: float) -> Table:
    from rich.table import Table

    found = own[0].difference
    table = Table(
        title=f"{QUESTIONS[own[0].comparison.family]} Differences of top-1 in points, with 95 % intervals over "
        f"{counted(found.photos, 'test photo')} and {counted(found.seeds, 'seed')}",
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


def figures(verdict: Verdict, margin: float) -> dict[str, Any]:
    """Return the figures of a comparison as JSON values: points of top-1 and p-values, rounded to four decimals."""
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
