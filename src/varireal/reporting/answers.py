"""The study's questions with their answers in plain sentences: bounds first, then what was found, then what to do."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from varireal.evaluation.comparisons import Family, Outcome, Verdict
from varireal.evaluation.planning import MOST_TIMES
from varireal.evaluation.predictions import Model
from varireal.evaluation.statistics import POINTS, POWER, CrossedMean
from varireal.reporting.controls import controls_headline, controls_sentences
from varireal.reporting.words import (
    BESIDE,
    at_most,
    hopeless_words,
    interval_words,
    label,
    less_than,
    needed_words,
    outcome_words,
    signed,
    versus,
    where,
)

OUTCOMES: tuple[Outcome, ...] = ("different", "equivalent", "unproven", "undecided")
QUESTIONS: dict[Family, str] = {
    "feasibility": "Does feasibility matter?",
    "gain": "What does training add?",
    "experiments": "Do the experiments differ?",
}
SUBJECTS: dict[Family, str] = {
    "feasibility": "By",
    "gain": "It changes top-1 by",
    "experiments": "By",
}
REMEDY = (
    "widen the margin (report.margin), or lower the noise: more steps at a lower rate (train.max_steps, "
    "train.learning_rate), more edits (edit.edits_per_photo)"
)
READING = (
    "A question's bound holds for all its comparisons at once (95 %), and so do the smaller ones below it among "
    "themselves (95 %); intervals hold one by one."
)


@dataclasses.dataclass(frozen=True)
class Answer:
    """What the comparisons of one question say together, in plain sentences."""

    family: Family
    question: str
    short: str  # the bound for all comparisons, and how many came out how
    parts: tuple[str, ...]  # the same for each attribute
    baselines: tuple[str, ...]  # what the real photos alone add, where that belongs to the question
    power: tuple[str, ...]  # what the study would have found
    advice: tuple[str, ...]  # what would decide, where something is undecided
    details: tuple[str, ...]  # which models differ


def answers(verdicts: Sequence[Verdict], margin: float) -> list[Answer]:
    """Return an answer to each question of the study that has comparisons."""
    given = []
    for family, question in QUESTIONS.items():
        own = [verdict for verdict in verdicts if verdict.comparison.family == family]
        if own:
            given.append(
                Answer(
                    family=family,
                    question=question,
                    short=_short_answer(family, own, margin),
                    parts=tuple(_parts(own)),
                    baselines=tuple(_baselines(own)),
                    power=tuple(_power(own)),
                    advice=tuple(_advice(own, margin)),
                    details=tuple(_which_differ(own)),
                )
            )
    return given


def headline(verdicts: Sequence[Verdict], margin: float, caveats: Sequence[str] = ()) -> list[str]:
    """Return the answers as lines for the terminal: a line for each attribute of the study's own question only.

    What the controls say comes first, then the caveats, such as those of :func:`chance_words`.
    """
    lines = [*controls_headline(verdicts, margin), *caveats]
    for answer in answers(verdicts, margin):
        parts = answer.parts if answer.family == "feasibility" else ()
        below = (*parts, *answer.baselines, *answer.power, *answer.advice)
        lines += [f"{answer.question} {answer.short}", *(f"  {each}" for each in below)]
    return [*lines, READING]


def all_sentences(verdicts: Sequence[Verdict], margin: float, caveats: Sequence[str] = ()) -> list[str]:
    """Return everything that the answers say as lines: every attribute of every question, and which models differ."""
    lines = [*controls_sentences(verdicts, margin), *caveats]
    for answer in answers(verdicts, margin):
        below = (*answer.parts, *answer.baselines, *answer.power, *answer.advice, *answer.details)
        lines += [f"{answer.question} {answer.short}", *(f"  {each}" for each in below)]
    return [*lines, READING]


def chance_words(accuracies: Mapping[Model, CrossedMean], classes: int) -> list[str]:
    """Return a line that names the classifiers whose interval (95 %) reaches what guessing gives; none if none does."""
    chance = POINTS / classes
    guessing = [model for model, mean in accuracies.items() if mean.interval()[0] <= chance]
    if not guessing:
        return []
    trained = [model for model in guessing if model.attribute]
    named = [f"{label(model)} ({accuracies[model].mean:.1f} %)" for model in guessing if not model.attribute]
    if trained:
        named.append(f"{len(trained)} of {sum(bool(model.attribute) for model in accuracies)} trained on edits")
    return [
        f"At chance level ({chance:.1f} % for {classes} classes): {', '.join(named)}. Comparisons of such classifiers "
        "say nothing of feasibility."
    ]


def largest(points: Iterable[float | None]) -> float | None:
    """Return the largest of several bounds, which holds for all; None if one of them is not known."""
    known = list(points)
    return None if None in known else max(each for each in known if each is not None)


def _short_answer(family: Family, own: Sequence[Verdict], margin: float) -> str:
    bound, outcomes = own[0].family_bound, outcomes_words(own)
    if bound is None:
        return f"One seed says nothing about others, so nothing is bounded: {outcomes}."
    compared = f"in all {len(own)} comparisons" if len(own) > 1 else "in the one comparison"
    if bound >= POINTS:
        return f"This study is too small to bound any difference: {outcomes} (margin ±{margin:g})."
    return f"{SUBJECTS[family]} {less_than(bound)} {compared} (95 %): {outcomes} (margin ±{margin:g})."


def outcomes_words(own: Sequence[Verdict]) -> str:
    """Return how many comparisons came out how, such as ``8 different, 4 undecided`` or ``all undecided``."""
    counts = Counter(verdict.outcome for verdict in own)
    if len(counts) == 1:
        return f"all {outcome_words(own[0].outcome)}" if len(own) > 1 else outcome_words(own[0].outcome)
    return ", ".join(f"{counts[each]} {outcome_words(each)}" for each in OUTCOMES if counts[each])


def _parts(own: Sequence[Verdict]) -> list[str]:
    """Return a line for each attribute: its bound, feasible minus infeasible where they were compared, the outcome."""
    lines = []
    for attribute in dict.fromkeys(v.comparison.first.attribute for v in own):
        of_it = [verdict for verdict in own if verdict.comparison.first.attribute == attribute]
        pairs = [v for v in of_it if versus(v) == "feasible − infeasible"]
        if attribute:
            told = f"; feasible − infeasible {_pairs_words(pairs)}" if pairs else f": {outcomes_words(of_it)}"
            lines.append(f"{attribute}: {less_than(stated_bound(of_it))}{told}")
    return lines


def stated_bound(verdicts: Sequence[Verdict]) -> float | None:
    """Return the sharpest bound for some comparisons of one question: their own, or the one for all of the question."""
    bound, of_all = largest(verdict.bound for verdict in verdicts), verdicts[0].family_bound
    return bound if bound is None or of_all is None else min(bound, of_all)


def _pairs_words(pairs: Sequence[Verdict]) -> str:
    """Return the interval of every training source, with one outcome where all have the same."""
    alike = len({verdict.outcome for verdict in pairs}) == 1
    told = []
    for verdict in pairs:
        source = verdict.comparison.first.source
        outcome = "" if alike else f" ({outcome_words(verdict.outcome)})"
        told.append(f"{interval_words(verdict)} {BESIDE.get(source, source)}{outcome}")
    return ", ".join(told) + (f": {outcome_words(pairs[0].outcome)}" if alike else "")


def _baselines(own: Sequence[Verdict]) -> list[str]:
    """Return a line with every comparison that has no attribute: real photos alone against zero-shot."""
    told = [
        f"{versus(v)} {signed(v.difference.mean)} ({interval_words(v)}), {less_than(stated_bound([v]))}: "
        f"{outcome_words(v.outcome)}"
        for v in own
        if not v.comparison.first.attribute
    ]
    return [f"baselines: {'; '.join(told)}"] if told else []


def _power(own: Sequence[Verdict]) -> list[str]:
    """Return the smallest differences that the study would find, if they can be told: best and worst measured."""
    known = [verdict.detectable for verdict in own if verdict.detectable is not None]
    if len(known) < len(own):
        return []
    if min(known) >= POINTS:
        return [f"No difference, however large, would be found here with {100 * POWER:.0f} % power."]
    size = f"A true difference of {at_most(min(known))} points would be found with {100 * POWER:.0f} % power"
    noisiest = "the noisiest hides any" if max(known) >= POINTS else f"{at_most(max(known))} points in the noisiest"
    return [f"{size} in the quietest comparison, {noisiest}." if len(known) > 1 else f"{size}."]


def _advice(own: Sequence[Verdict], margin: float) -> list[str]:
    """Return what would decide the nearest of the undecided, or what to change where no realistic study would."""
    undecided = [verdict for verdict in own if verdict.outcome == "undecided"]
    if not undecided:
        return []
    if all(verdict.difference.seeds < 2 for verdict in undecided):
        return ["A second seed (grid.seeds) would tell the spread over seeds."]
    planned = [(size.photos * size.seeds, k) for k, v in enumerate(undecided) for size in v.needed]
    if planned:
        nearest = undecided[min(planned)[1]]
        needs = needed_words(nearest.difference.photos, nearest.difference.seeds, nearest.needed)
        return [f"Nearest to a verdict is {where(nearest)} ({versus(nearest)}): it needs {needs}."]
    reasons = {hopeless_words(verdict.difference.mean, margin) for verdict in undecided}
    reason = "differences are about the margin itself or drown in noise" if len(reasons) > 1 else reasons.pop()
    return [f"Even {MOST_TIMES} times the photos and seeds would decide nothing more ({reason}): {REMEDY}."]


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
