from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest

from varireal.base.seeding import generator
from varireal.config import GridConfig
from varireal.evaluation.comparisons import (
    Comparison,
    comparisons,
    holm,
    judge,
)
from varireal.evaluation.predictions import REAL, ZERO_SHOT, Model

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "verdicts.py"
GRID = GridConfig(
    attributes=["color"], feasibilities=["feasible", "infeasible"], conditions=["feasible", "infeasible", "mixed"],
    sources=["synthetic"], seeds=[3, 1],
)  # fmt: skip


def test_comparisons_are_those_that_the_grid_allows() -> None:
    named = [(c.family, c.first.name, c.second.name) for c in comparisons(GRID)]
    assert named == [
        ("feasibility", "color feasible synthetic", "color infeasible synthetic"),
        ("feasibility", "color mixed synthetic", "color feasible synthetic"),
        ("feasibility", "color mixed synthetic", "color infeasible synthetic"),
        ("gain", "color feasible synthetic", "real"),
        ("gain", "color infeasible synthetic", "real"),
        ("gain", "color mixed synthetic", "real"),
        ("gain", "real", "zero-shot"),
    ]
    pure = GRID.model_copy(update={"conditions": ["infeasible"], "attributes": ["color", "texture"]})
    assert [c.family for c in comparisons(pure)] == ["gain"] * 3


def model(right: float, seeds: int = 4, photos: int = 4000, noise: float = 0.0) -> np.ndarray:
    """Answers of models that agree on all photos but for chance: the first share is right."""
    steady = np.arange(photos)[:, None] < right * photos
    flips = generator("noise", right, seeds).random((photos, seeds)) < noise
    return steady ^ flips


def verdict(first: np.ndarray, second: np.ndarray, margin: float = 1.0):
    compared = [Comparison("gain", REAL, ZERO_SHOT)]
    return judge(compared, {REAL: first, ZERO_SHOT: second}, margin, seed=0)[0]


def test_the_three_outcomes() -> None:
    base = model(0.700, noise=0.01)
    same = verdict(model(0.701, noise=0.01), base)
    assert same.outcome == "equivalent" and same.needed == []
    better = verdict(model(0.75, noise=0.01), base)
    assert better.outcome == "different" and better.interval[0] > 0 and better.p_difference < 0.001
    unclear = verdict(model(0.705, noise=0.3), model(0.7, seeds=5, noise=0.3)[:, :4], margin=0.3)
    assert unclear.outcome == "undecided"
    assert unclear.needed and all(s.photos > 4000 or s.seeds > 4 for s in unclear.needed)


def test_a_certain_difference_inside_the_margin_is_equivalence() -> None:
    found = verdict(model(0.705), model(0.700))
    assert found.difference.mean == pytest.approx(0.5)
    assert found.p_difference < 0.05 and found.outcome == "equivalent"


def test_one_seed_decides_nothing() -> None:
    found = verdict(model(0.9, seeds=1), model(0.7, seeds=1))
    assert found.p_difference < 1e-6 and found.outcome == "undecided" and found.needed == []


def test_a_baseline_with_one_column_meets_every_seed() -> None:
    found = verdict(model(0.8, noise=0.05), model(0.7, seeds=1))
    assert (found.difference.seeds, len(found.mcnemar_by_seed)) == (4, 4)


def test_holm_corrects_within_a_family_only() -> None:
    a, b, c = (Model("synthetic", "color", name) for name in ("feasible", "infeasible", "mixed"))
    answers = {a: model(0.705), b: model(0.700), c: model(0.7025), REAL: model(0.6975)}
    compared = [Comparison("feasibility", a, b), Comparison("feasibility", c, b), Comparison("gain", a, REAL)]
    first, second, gain = judge(compared, answers, 0.3, seed=0)
    assert first.p_difference_holm == pytest.approx(2 * first.p_difference)  # the smaller of two
    assert second.p_difference_holm == pytest.approx(max(second.p_difference, 2 * first.p_difference))
    assert gain.p_difference_holm == gain.p_difference


@pytest.mark.parametrize(
    "p_values", [[0.01, 0.04, 0.03, 0.005], [0.5, 0.5, 0.9], [0.0, 1.0], [0.02, 0.02, 0.02], [0.3]]
)
def test_holms_correction_is_that_of_statsmodels(p_values: list[float]) -> None:
    from statsmodels.stats.multitest import multipletests

    corrected = holm([*p_values, 0.2], [*("a" for _ in p_values), "b"])
    assert corrected == pytest.approx([*multipletests(p_values, method="holm")[1], 0.2])


THREE = [Model("synthetic", "color", name) for name in ("feasible", "infeasible", "mixed")]
PAIRS = [
    Comparison("feasibility", THREE[0], THREE[1]),
    Comparison("feasibility", THREE[2], THREE[0]),
    Comparison("feasibility", THREE[2], THREE[1]),
]


@pytest.fixture(params=[(0.704, 0.700, 0.7005), (0.72, 0.70, 0.703), (0.7, 0.7, 0.7)], ids=["near", "apart", "same"])
def noisy(request: pytest.FixtureRequest) -> dict[Model, np.ndarray]:
    """Answers of three models to the same photos, each with noise of its own."""
    shares = dict(zip(THREE, request.param))
    return {each: model(share, noise=0.02 + 0.01 * k) for k, (each, share) in enumerate(shares.items())}


def test_bounds_never_contradict_the_verdicts(noisy: dict[Model, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("varireal.evaluation.comparisons.DRAWS", 10)
    seen = set()
    for margin in (0.2, 0.6, 0.8, 1.0, 1.3, 1.7, 2.2, 3.0, 5.0):
        found = judge(PAIRS, noisy, margin, seed=0)
        for each in found:
            assert each.bound is not None and each.family_bound is not None
            assert (each.bound <= margin) == (each.outcome == "equivalent")
            assert each.bound >= abs(each.difference.mean) and each.family_bound >= abs(each.difference.mean)
        assert (found[0].family_bound <= margin) == all(each.outcome == "equivalent" for each in found)
        assert found[0].family_bound <= max(each.bound for each in found)
        seen |= {each.outcome for each in found}
    assert "equivalent" in seen and len(seen) > 1


def test_a_bound_is_where_holms_corrected_test_would_pass(noisy: dict[Model, np.ndarray]) -> None:
    """By looking at every margin: with none equivalent the smallest of three p-values counts three times."""
    found = judge(PAIRS, noisy, 0.2, seed=0)
    assert {each.outcome for each in found} <= {"undecided", "different"}
    for each in found:
        margins = np.arange(1, 800) / 100
        failing = margins[[3 * each.difference.equivalence_p_value(m) > 0.05 for m in margins]]
        assert failing.max() <= each.bound <= failing.max() + 0.01
        uncorrected = max(other.difference.bound(0.05) for other in found)
        assert each.family_bound == pytest.approx(uncorrected)


def test_after_an_equivalence_the_others_are_bounded_at_the_level_where_holm_goes_on() -> None:
    answers = {THREE[0]: model(0.701), THREE[1]: model(0.7), THREE[2]: model(0.74, noise=0.05)}
    found = judge(PAIRS, answers, 1.0, seed=0)
    assert [each.outcome for each in found] == ["equivalent", "different", "different"]
    assert found[0].bound == 1.0  # what was tested, and no more
    for each in found[1:]:
        margins = np.arange(100, 900) / 100
        failing = margins[[2 * each.difference.equivalence_p_value(m) > 0.05 for m in margins]]
        assert failing.max() <= each.bound <= failing.max() + 0.01


def test_one_seed_bounds_nothing() -> None:
    found = verdict(model(0.9, seeds=1), model(0.7, seeds=1))
    assert (found.bound, found.family_bound, found.detectable) == (None, None, None)


def test_a_family_with_one_seed_somewhere_has_no_bound_for_all() -> None:
    answers = {
        THREE[0]: model(0.71, noise=0.02),
        THREE[1]: model(0.7),
        REAL: model(0.7, seeds=1),
        ZERO_SHOT: model(0.5, seeds=1),
    }
    compared = [Comparison("experiments", THREE[0], THREE[1]), Comparison("experiments", REAL, ZERO_SHOT)]
    first, second = judge(compared, answers, 0.3, seed=0)
    assert first.bound is not None and second.bound is None
    assert first.family_bound is None and second.family_bound is None


def test_what_is_detectable_counts_the_number_of_comparisons(noisy: dict[Model, np.ndarray]) -> None:
    found = judge(PAIRS, noisy, 0.2, seed=0)
    assert [each.detectable for each in found] == [each.difference.detectable(0.05 / 3) for each in found]


def test_the_same_predictions_give_the_same_verdict() -> None:
    first, second = model(0.71, noise=0.1), model(0.7, noise=0.1)
    assert verdict(first, second) == verdict(first, second)


def test_the_benchmark_in_small_keeps_its_promises() -> None:
    """Three settings of the committed benchmark; the bounds leave room for the chance of so few studies."""
    benchmark = runpy.run_path(str(BENCHMARK))
    chosen = [s for s in benchmark["SETTINGS"] if s.photos == 600 and s.seeds == 3][:3]
    found = [benchmark["measure"](setting, 150, 1) for setting in chosen]
    assert 92.5 <= np.mean([each["coverage"] for each in found]) <= 98.5
    assert np.mean([each["false_different"] for each in found]) <= 8
    assert np.mean([each["false_equivalent"] for each in found]) <= 8
    held = benchmark["bounds_that_hold"](chosen[1], 60)  # the worst of three truths: 57 of 60 are to be expected
    assert held["own_bounds"] >= 88 and held["question_bound"] >= 88
