"""What controls show, and what becomes of equivalence where they are not as they should be."""

from __future__ import annotations

import dataclasses
import runpy

import numpy as np
import pytest
from tests.evaluation.test_comparisons import BENCHMARK, GRID, model

from varireal import paths
from varireal.evaluation.cells import cells
from varireal.evaluation.comparisons import ALPHA, Verdict, comparisons, judge
from varireal.evaluation.controls import baseline, believed, blind_sources, is_found, sights
from varireal.evaluation.predictions import REAL, ZERO_SHOT
from varireal.evaluation.statistics import crossed_mean

CONTROLLED = GRID.model_copy(
    update={"controls": ["harm-20", "null-a", "harm-10", "null-b"], "control_attributes": ["color"]}
)
BOTH = CONTROLLED.model_copy(update={"sources": ["synthetic", "real+synthetic"]})


def judged(right: dict[str, float], margin: float = 5.0, seeds: int = 3) -> list[Verdict]:
    """Judge a study of both training sources, with 2,000 photos; shares of right answers by condition, 0.7 else."""
    compared = comparisons(BOTH)
    named = {each for pair in compared for each in (pair.first, pair.second)}
    answers = {each: model(right.get(each.condition, 0.7), seeds, 2000, noise=0.02) for each in named}
    answers |= {ZERO_SHOT: model(0.5, 1, 2000), REAL: model(0.6, seeds, 2000)}
    return judge(compared, answers, margin, seed=0)


@pytest.fixture(autouse=True)
def _few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("varireal.evaluation.comparisons.DRAWS", 10)  # no test here looks at the bootstrap


def test_controls_are_families_of_their_own_behind_the_studys_comparisons() -> None:
    without, compared = comparisons(GRID), comparisons(CONTROLLED)
    assert compared[: len(without)] == without
    assert [(c.family, c.first.condition, c.second.condition) for c in compared[len(without) :]] == [
        ("harm", "harm-10", "feasible"),  # doses in their order
        ("harm", "harm-20", "feasible"),
        ("null", "null-a", "null-b"),
    ]


def test_every_control_is_tested_behind_the_cells_of_the_grid() -> None:
    own, tested = cells(GRID), cells(CONTROLLED)
    assert tested[: len(own)] == own and len(tested) == len(own) + 4 * 2  # of one source, two seeds
    first = tested[len(own)]
    assert (first.attribute, first.condition, first.source, first.seed) == ("color", "harm-20", "synthetic", 3)
    assert first.adapter == paths.ADAPTERS / "color_harm-20" / "synthetic" / "seed-3"


def test_the_studys_own_verdicts_do_not_depend_on_whether_there_are_controls() -> None:
    answers = {each: model(0.7, 2, 500) for pair in comparisons(CONTROLLED) for each in (pair.first, pair.second)}
    answers[ZERO_SHOT] = model(0.5, 1, 500)
    with_them = judge(comparisons(CONTROLLED), answers, 1.0, seed=0)
    assert with_them[: len(comparisons(GRID))] == judge(comparisons(GRID), answers, 1.0, seed=0)


def test_the_smallest_harm_found_is_what_is_seen_if_all_larger_ones_are_found() -> None:
    alone, beside = sights(judged({"harm-10": 0.67, "harm-20": 0.6}))
    assert (alone.attribute, alone.source, beside.source) == ("color", "synthetic", "real+synthetic")
    assert alone.seen is not None and alone.seen.comparison.first.condition == "harm-10"
    assert alone.finds_nothing and alone.able
    unseen = dataclasses.replace(alone.harms[0], p_difference_holm=0.06)
    larger = dataclasses.replace(alone, harms=(unseen, alone.harms[1])).seen
    assert larger is not None and larger.comparison.first.condition == "harm-20"
    not_the_largest = dataclasses.replace(alone.harms[1], p_difference_holm=0.06)
    assert dataclasses.replace(alone, harms=(alone.harms[0], not_the_largest)).seen is None


def test_wrong_labels_that_do_good_are_no_harm_seen() -> None:
    for sight in sights(judged({"harm-10": 0.7, "harm-20": 0.8})):
        assert is_found(sight.harms[1]) and sight.seen is None and not sight.able


def test_nothing_is_found_with_one_seed() -> None:
    for sight in sights(judged({"harm-10": 0.5, "harm-20": 0.3}, seeds=1)):
        assert sight.seen is None and sight.finds_nothing and not sight.able


def outcomes(verdicts: list[Verdict], source: str) -> set[str]:
    return {v.outcome for v in verdicts if v.comparison.family == "feasibility" and v.comparison.first.source == source}


def test_equivalence_stands_where_the_controls_bear_it_out() -> None:
    verdicts = judged({"harm-10": 0.67, "harm-20": 0.6})
    assert outcomes(verdicts, "synthetic") == {"equivalent"}
    assert believed(verdicts) == verdicts


@pytest.mark.parametrize("shares", [{"harm-10": 0.7, "harm-20": 0.7}, {"harm-20": 0.5, "null-a": 0.6}])
def test_no_equivalence_stands_where_no_harm_is_seen_or_something_is_found_between_two_draws(shares) -> None:
    verdicts = believed(judged(shares))
    assert outcomes(verdicts, "synthetic") == outcomes(verdicts, "real+synthetic") == {"unproven"}
    assert "equivalent" not in {verdict.outcome for verdict in verdicts}
    different = [v for v in verdicts if v.comparison.family == "gain"]
    assert {v.outcome for v in different} == {"different"}  # a difference stays one


def test_a_training_source_answers_for_itself_and_the_baselines_need_all() -> None:
    verdicts = judged({"harm-10": 0.67, "harm-20": 0.6})
    real = baseline(verdicts)
    assert real is not None and (real.comparison.first, real.comparison.second) == (REAL, ZERO_SHOT)
    blinded = [
        dataclasses.replace(v, p_difference_holm=0.2)
        if v.comparison.family == "harm" and v.comparison.first.source == "synthetic"
        else dataclasses.replace(v, outcome="equivalent")
        if v is real
        else v
        for v in verdicts
    ]
    told = believed(blinded)
    assert (outcomes(told, "synthetic"), outcomes(told, "real+synthetic")) == ({"unproven"}, {"equivalent"})
    found = baseline(told)
    assert found is not None and found.outcome == "unproven"


def test_a_study_without_controls_is_judged_as_it_was() -> None:
    answers = {each: model(0.7, 3, 2000) for pair in comparisons(GRID) for each in (pair.first, pair.second)}
    verdicts = judge(comparisons(GRID), answers, 5.0, seed=0)
    assert sights(verdicts) == [] and believed(verdicts) == verdicts
    assert {v.outcome for v in verdicts} == {"equivalent"}


def test_two_draws_alike_in_truth_are_found_different_in_one_study_of_twenty_at_most() -> None:
    """Studies with two training sources, so two null comparisons: any is found."""
    benchmark = runpy.run_path(str(BENCHMARK))
    count, false = 200, 0
    for a, b, c, d in benchmark["conditions"](benchmark["Setting"](200, 3, 0.05), (0.0,) * 4, count, "null"):
        p_values = [crossed_mean(first - second).p_value() for first, second in ((a, b), (c, d))]
        false += 2 * min(p_values) <= ALPHA  # as Holm corrects the smaller of two
    assert false / count <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / count)


@pytest.mark.parametrize(
    "right",
    [
        {"harm-20": 0.6, "harm-10": 0.65},
        {"harm-20": 0.7},
        {"harm-20": 0.8, "harm-10": 0.6},
        {"harm-20": 0.6, "null-a": 0.6},
        {"harm-20": 0.6, "null-b": 0.6, "harm-10": 0.7},
    ],
)
def test_a_look_at_all_of_the_error_asks_the_controls_as_the_report_does(right: dict[str, float]) -> None:
    verdicts = judged(right)
    controls = [each for each in verdicts if each.comparison.family in ("harm", "null")]
    by_look = blind_sources([each.comparison for each in controls], [each.difference for each in controls], ALPHA)
    assert by_look == sorted({sight.source for sight in sights(verdicts) if not sight.able})
    assert blind_sources([each.comparison for each in controls], [each.difference for each in controls], 1e-13) == [
        "real+synthetic",
        "synthetic",
    ]  # at so small a level no harm is found
