"""The study's comparisons, each with its interval, its tests and a verdict."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from varireal.base.seeding import generator
from varireal.config.controls import NULLS, dose
from varireal.evaluation.planning import Size, larger_studies
from varireal.evaluation.pooling import differences
from varireal.evaluation.predictions import NO_SEED, REAL, ZERO_SHOT, Model, Predictions
from varireal.evaluation.statistics import CrossedMean, bootstrap_means, mcnemar

if TYPE_CHECKING:
    import numpy as np

    from varireal.config import GridConfig

ALPHA = 0.05
DRAWS = 10_000  # of the bootstrap
PAIRS = (("feasible", "infeasible"), ("mixed", "feasible"), ("mixed", "infeasible"))

Family = Literal["feasibility", "gain", "experiments", "harm", "null"]
Outcome = Literal["equivalent", "different", "undecided", "unproven"]  # the last: see evaluation/controls.py


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Two models that are compared: ``first`` minus ``second``.

    There are three questions, each a family of comparisons that is corrected by itself: whether feasibility matters
    (``feasibility``: conditions against each other), whether training helps (``gain``: against the baselines), and
    what another experiment changes (``experiments``: the same model of two experiments). Controls are two families of
    their own: the known harms (``harm``: against the condition feasible), and two draws that differ by nothing but the
    draw (``null``).
    """

    family: Family
    first: Model
    second: Model


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What the predictions say about a comparison. Differences are points of top-1; p-values are in 0..1."""

    comparison: Comparison
    outcome: Outcome
    difference: CrossedMean
    interval: tuple[float, float]  # 95 %, photos and seeds
    bound: float | None  # the difference is smaller, either way; None with one seed; see family_bounds
    family_bound: float | None  # all differences of the family are smaller
    detectable: float | None  # the smallest difference that such a study would find in it with 80 % power
    bootstrap: tuple[float, float]  # 95 %, percentiles of the crossed bootstrap: too narrow with few seeds
    p_difference: float
    p_difference_holm: float  # corrected within the family
    p_equivalence: float
    p_equivalence_holm: float
    mcnemar: float  # these very models, on other photos
    mcnemar_by_seed: list[float]
    needed: list[Size]  # studies that would decide; of an undecided comparison only, empty if no realistic one could


def comparisons(grid: GridConfig) -> list[Comparison]:
    """Return the comparisons that the grid allows: attribute by attribute, real-only against zero-shot, controls."""
    compared = []
    for attribute, source in itertools.product(grid.attributes, grid.sources):
        models = {condition: Model(source, attribute, condition) for condition in grid.conditions}
        pairs = [(a, b) for a, b in PAIRS if a in models and b in models]
        compared += [Comparison("feasibility", models[a], models[b]) for a, b in pairs]
        compared += [Comparison("gain", model, REAL) for model in models.values()]
    untrained = [Comparison("gain", REAL, ZERO_SHOT)] if grid.zero_shot else []
    return [*compared, *untrained, *_controls(grid)]


def _controls(grid: GridConfig) -> list[Comparison]:
    """Return every harm against the condition it was made of, and the two draws against each other."""
    compared = []
    for attribute, source in itertools.product(grid.control_attributes, grid.sources):
        harms = sorted((name for name in grid.controls if dose(name)), key=lambda name: dose(name) or 0.0)
        feasible = Model(source, attribute, "feasible")
        compared += [Comparison("harm", Model(source, attribute, name), feasible) for name in harms]
        if NULLS[0] in grid.controls:
            compared.append(Comparison("null", *(Model(source, attribute, name) for name in NULLS)))
    return compared


def grid_models(grid: GridConfig) -> dict[Model, list[int]]:
    """Return every model of the grid's comparisons with its seeds."""
    models = {model for each in comparisons(grid) for model in (each.first, each.second)}
    return {model: [NO_SEED] if model == ZERO_SHOT else list(grid.seeds) for model in sorted(models)}


def right_answers(predictions: Predictions, grid: GridConfig) -> dict[Model, np.ndarray]:
    """Return for every model of the grid which photos it got right: bool (photos, seeds), seeds in the grid's order."""
    return {model: predictions.right(model, seeds) for model, seeds in grid_models(grid).items()}


def judge(compared: Sequence[Comparison], answers: dict[Model, np.ndarray], margin: float, seed: int) -> list[Verdict]:
    """Return a verdict for every comparison.

    *equivalent*: two one-sided tests place the difference within ±margin; *different*: it is not 0; both at 5 % after
    Holm's correction within the family, equivalence first (a difference may be certain and too small to matter).
    Otherwise, and always with one seed, *undecided*.

    Args:
        answers: from :func:`right_answers`; both models of a comparison are taken seed by seed.
        margin: points of top-1 below which a difference does not matter.
        seed: of the bootstrap.
    """
    import numpy as np

    values = [answers[each.first].astype(np.int8) - answers[each.second].astype(np.int8) for each in compared]
    means = differences(compared, answers)
    different = [mean.p_value() for mean in means]
    equivalent = [mean.equivalence_p_value(margin) for mean in means]
    families = [each.family for each in compared]
    different_holm, equivalent_holm = holm(different, families), holm(equivalent, families)
    outcomes: list[Outcome] = [outcome_of(*each) for each in zip(means, different_holm, equivalent_holm)]
    bounds = _bounds(means, outcomes, families, margin)
    verdicts = []
    for k, comparison in enumerate(compared):
        level = ALPHA / families.count(comparison.family)
        plan = outcomes[k] == "undecided" and means[k].seeds > 1
        names = (comparison.first.name, comparison.second.name)
        low, high = np.quantile(bootstrap_means(values[k], DRAWS, generator("verdict", seed, *names)), [0.025, 0.975])
        by_seed, together = mcnemar(values[k])
        verdicts.append(
            Verdict(
                comparison=comparison,
                outcome=outcomes[k],
                difference=means[k],
                interval=means[k].interval(),
                bound=bounds[k][0],
                family_bound=bounds[k][1],
                detectable=means[k].detectable(level) if means[k].seeds > 1 else None,
                bootstrap=(float(low), float(high)),
                p_difference=different[k],
                p_difference_holm=different_holm[k],
                p_equivalence=equivalent[k],
                p_equivalence_holm=equivalent_holm[k],
                mcnemar=together,
                mcnemar_by_seed=by_seed,
                needed=larger_studies(means[k], margin, level) if plan else [],
            )
        )
    return verdicts


def outcome_of(mean: CrossedMean, different: float, equivalent: float) -> Outcome:
    """Return the outcome that corrected p-values lead to; one seed alone decides nothing."""
    if mean.seeds < 2:
        return "undecided"
    if equivalent <= ALPHA:
        return "equivalent"
    return "different" if different <= ALPHA else "undecided"


def _bounds(
    means: Sequence[CrossedMean], outcomes: Sequence[Outcome], families: Sequence[str], margin: float
) -> list[tuple[float | None, float | None]]:
    """Return for every comparison its own bound and the one for all of its family."""
    bounds: list[tuple[float | None, float | None]] = [(None, None)] * len(means)
    for family in dict.fromkeys(families):
        places = [k for k, own in enumerate(families) if own == family]
        of_it = [means[k] for k in places]
        each = family_bounds(of_it, [outcomes[k] for k in places], margin)
        common = common_bound(each, of_it, margin)
        for k, bound in zip(places, each):
            bounds[k] = bound, common
    return bounds


def family_bounds(
    means: Sequence[CrossedMean], outcomes: Sequence[Outcome], margin: float, alpha: float = ALPHA
) -> list[float | None]:
    """Return for every comparison of a family the points below which its difference lies: 95 % for all at once.

    They are Holm's tests of equivalence, inverted (Strassburger and Bretz, Statistics in Medicine 27, 2008): what was
    found equivalent lies within the margin; of the k others each is bounded at level 5 % / k, the level at which Holm
    would go on. Where all are equivalent, all are bounded at 5 % / their number, and by the margin.

    Why at once: an equivalence is false, or a bound is passed, only if one of the t differences that truly reach the
    margin passes its own test at 5 % / t, or, where none does, one of all at 5 % / their number. By Bonferroni's
    inequality that has a probability of 5 % at most. So bounds and verdicts never contradict each other either.
    """
    left = outcomes.count("undecided") + outcomes.count("different")
    bounds: list[float | None] = []
    for mean, outcome in zip(means, outcomes):
        if mean.seeds < 2:
            bounds.append(None)
        elif outcome != "equivalent":
            bounds.append(mean.bound(alpha / left))
        else:
            bounds.append(margin if left else min(margin, mean.bound(alpha / len(means))))
    return bounds


def common_bound(
    bounds: Sequence[float | None], means: Sequence[CrossedMean], margin: float, alpha: float = ALPHA
) -> float | None:
    """Return one bound for all comparisons of a family: all differences lie below it with 95 %; None with one seed.

    It is the largest of their bounds at 5 % each, and needs no correction: it is passed only if the largest of the true
    differences passes its own test (Berger's intersection-union test, Technometrics 24, 1982). So it is no larger than
    the largest of the family's own ``bounds``; that is taken where not all were found equivalent one by one, though all
    together lie within the margin: no sentence then contradicts a verdict.
    """
    known = [bound for bound in bounds if bound is not None]
    if len(known) < len(means):
        return None
    common = max(mean.bound(alpha) for mean in means)
    return max(known) if common <= margin < max(known) else common


def holm(p_values: Sequence[float], families: Sequence[str]) -> list[float]:
    """Return the p-values after Holm's correction (Scandinavian Journal of Statistics 6, 1979), each within its family.

    The k-th smallest of m counts m - k + 1 times, and no less than those before it. It is written out here because
    statsmodels collects garbage at every correction, which takes a second where much is loaded.
    """
    corrected = [0.0] * len(p_values)
    for family in dict.fromkeys(families):
        places = [k for k, own in enumerate(families) if own == family]
        least = 0.0
        for rank, k in enumerate(sorted(places, key=p_values.__getitem__)):
            least = corrected[k] = max(least, min(1.0, (len(places) - rank) * float(p_values[k])))
    return corrected
