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
