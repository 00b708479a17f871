from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import t

from varireal.base.seeding import generator
from varireal.evaluation.comparisons import Comparison
from varireal.evaluation.pooling import differences
from varireal.evaluation.predictions import REAL, ZERO_SHOT, Model
from varireal.evaluation.statistics import crossed_mean

CONDITIONS = [Model("synthetic", "color", name) for name in ("feasible", "infeasible", "mixed")]
PAIRS = [Comparison("feasibility", a, b) for a, b in itertools.combinations(CONDITIONS, 2)]


def answers(models: list[Model], seeds: int = 3, spread: float = 0.1, photos: int = 400) -> dict[Model, np.ndarray]:
    """Answers whose share of right ones differs from seed to seed."""
    rng = generator("test pooling", seeds, spread)
    ease = rng.standard_normal((photos, 1))
    return {
        each: ease + spread * rng.standard_normal((1, seeds)) + 0.3 * rng.standard_normal((photos, seeds)) > 0
        for each in models
    }


def test_the_seeds_part_of_three_conditions_is_the_error_of_their_analysis_of_variance() -> None:
    """Condition by seed in a two-way analysis of variance, by statsmodels; or the pair's own if larger."""
    import pandas as pd
    from statsmodels.formula.api import ols
    from statsmodels.stats.anova import anova_lm

    right = answers(CONDITIONS)
    rows = [
        {"condition": each.condition, "seed": s, "top1": 100 * right[each][:, s].mean()}
        for each in CONDITIONS
        for s in range(3)
    ]
    table = anova_lm(ols("top1 ~ C(condition) + C(seed)", pd.DataFrame(rows)).fit())
    error = 2 * table.loc["Residual", "mean_sq"] / 3  # variance of a difference, over three seeds
    found = differences(PAIRS, right)
    own = [crossed_mean(right[each.first].astype(int) - right[each.second]) for each in PAIRS]
    assert [each.seed for each in found] == pytest.approx([max(error, each.seed) for each in own])
    assert {each.seed for each in found} > {max(each.seed for each in own)}  # a larger one of its own stands
    assert [each.seed_freedom for each in found] == [table.loc["Residual", "df"]] * 3 == [4] * 3
    assert all(a.mean == b.mean and a.photo == b.photo and a.rest == b.rest for a, b in zip(found, own))


def test_more_is_known_of_the_seeds_so_intervals_are_those_of_more_degrees_of_freedom() -> None:
    right = answers(CONDITIONS, spread=1.0)
    found = differences(PAIRS, right)[0]
    alone = crossed_mean(right[CONDITIONS[0]].astype(int) - right[CONDITIONS[1]])
    z, known = max(0.0, found.photo - found.rest), t.ppf(0.975, 4)
    assert found.half_width(0.05) == pytest.approx(
        (t.ppf(0.975, 399) * z + known * found.seed) / (z + found.seed) ** 0.5
    )
    assert (alone.seed_freedom, found.planned(800, 5).seed_freedom, alone.planned(800, 5).seed_freedom) == (2, 8, 4)


def test_gains_share_the_baseline_and_baselines_stand_alone() -> None:
    gains = [Comparison("gain", each, REAL) for each in CONDITIONS]
    found = differences([*gains, Comparison("gain", REAL, ZERO_SHOT)], answers([*CONDITIONS, REAL, ZERO_SHOT]))
    # three differences, each two of which share a model: 2 * 3**2 / (3 + 6 * 0.25)
    assert [each.seed_freedom for each in found] == [4, 4, 4, 2]


def test_attributes_and_sources_are_never_pooled() -> None:
    others = [Model("real+synthetic", "color", each.condition) for each in CONDITIONS[:2]]
    textures = [Model("synthetic", "texture", each.condition) for each in CONDITIONS[:2]]
    models = [*CONDITIONS, *others, *textures]
    compared = [*PAIRS, Comparison("feasibility", *others), Comparison("feasibility", *textures)]
    right = answers(models)
    found = differences(compared, right)
    assert found[:3] == differences(PAIRS, right)
    assert [each.seed_freedom for each in found[3:]] == [2, 2]


def test_controls_borrow_from_the_conditions_and_lend_them_nothing() -> None:
    harm, first, second = (Model("synthetic", "color", name) for name in ("harm-20", "null-a", "null-b"))
    compared = [*PAIRS, Comparison("harm", harm, CONDITIONS[0]), Comparison("null", first, second)]
    right = answers([*CONDITIONS, harm, first, second])
    found = differences(compared, right)
    assert found[:3] == differences(PAIRS, right)
    # five differences; three pairs of the conditions share a model, and the harm shares feasible with two of them
    assert [each.seed_freedom for each in found[3:]] == [pytest.approx(2 * 25 / (5 + 2 * 5 * 0.25))] * 2


def test_a_draw_that_is_the_mixed_condition_counts_as_it() -> None:
    first, second = (Model("synthetic", "color", name) for name in ("null-a", "null-b"))
    right = answers([*CONDITIONS, second])
    right[first] = right[CONDITIONS[2]]
    found = differences([*PAIRS, Comparison("null", first, second)], right)
    assert found[3].seed_freedom == pytest.approx(2 * 16 / (4 + 2 * 5 * 0.25))


def test_one_seed_is_left_as_it_is() -> None:
    right = answers(CONDITIONS, seeds=1)
    assert differences(PAIRS, right) == [
        crossed_mean(right[each.first].astype(int) - right[each.second]) for each in PAIRS
    ]
