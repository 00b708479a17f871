"""Trends, against a line fitted photo by photo by another library and against the comparison of two conditions."""

from __future__ import annotations

import numpy as np
import pytest

from varireal.evaluation.comparisons import Comparison, Model, judge
from varireal.evaluation.dose import slopes, trends

DOSES = [0.0, 0.25, 0.5, 0.75, 1.0]


def answers(accuracies: list[float], photos: int, seeds: int, seed: int = 0) -> list[np.ndarray]:
    """Answers whose photos have a difficulty that all doses and seeds share."""
    rng = np.random.default_rng(seed)
    hard = rng.random((photos, 1))
    noise = 0.05 * rng.standard_normal((len(accuracies), photos, seeds))
    return [hard + each < accuracy for accuracy, each in zip(accuracies, noise)]


def test_slopes_are_those_of_numpys_least_squares_line() -> None:
    right = answers([0.7, 0.6, 0.65, 0.5, 0.4], 40, 3)
    values, steepest = slopes(right, DOSES)
    by_numpy = np.polyfit(DOSES, np.stack(right).reshape(5, -1).astype(float), 1)[0].reshape(40, 3)
    assert steepest * values == pytest.approx(by_numpy)
    assert np.abs(values).max() <= 1


def test_the_steepest_slope_is_right_at_high_doses_and_wrong_at_low_ones() -> None:
    right = [np.full((1, 1), answer) for answer in (False, False, True, True, True)]
    values, steepest = slopes(right, DOSES)
    assert values[0, 0] == 1
    assert steepest == pytest.approx(1.2)  # (0.25 + 0.5) / 0.625


def test_two_doses_give_the_comparison_of_the_two_conditions() -> None:
    infeasible, feasible = answers([0.55, 0.7], 300, 3)
    first, second = Model("synthetic", "color", "infeasible"), Model("synthetic", "color", "feasible")
    (verdict,) = judge([Comparison("feasibility", first, second)], {first: infeasible, second: feasible}, 0.3, 0)
    (trend,) = trends([{0.0: feasible, 1.0: infeasible}], 0.3)
    assert (trend.slope, trend.interval) == (pytest.approx(verdict.difference.mean), pytest.approx(verdict.interval))
    assert trend.p_slope_holm == pytest.approx(verdict.p_difference_holm)
    assert trend.p_flat_holm == pytest.approx(verdict.p_equivalence_holm)
    assert trend.outcome == verdict.outcome == "different"


def test_a_fall_is_found_and_the_same_answers_everywhere_are_flat() -> None:
    falling = dict(zip(DOSES, answers([0.8, 0.7, 0.6, 0.5, 0.4], 400, 3)))
    (same,) = answers([0.6], 4000, 3)
    down, flat = trends([falling, dict.fromkeys(DOSES, same)], 1.0)
    assert down.outcome == "different" and down.slope == pytest.approx(-40, abs=4)
    assert down.interval[0] < down.slope < down.interval[1] < 0
    assert (flat.outcome, flat.slope) == ("equivalent", pytest.approx(0, abs=1e-9))
    assert down.needed == flat.needed == ()


def test_holms_correction_is_over_all_curves() -> None:
    curve = dict(zip(DOSES, answers([0.62, 0.60, 0.60, 0.58, 0.58], 300, 3)))
    (alone,) = trends([curve], 0.3)
    of_four = trends([curve, *(dict.fromkeys(DOSES, answers([0.5], 300, 3, k)[0]) for k in (1, 2, 3))], 0.3)[0]
    assert of_four.p_slope_holm == pytest.approx(min(1, 4 * alone.p_slope_holm))


def test_an_undecided_trend_says_what_it_needs() -> None:
    (trend,) = trends([dict(zip(DOSES, answers([0.61, 0.6, 0.6, 0.6, 0.59], 60, 3)))], 3.0)
    assert trend.outcome == "undecided" and trend.needed
    assert all(size.photos > 60 or size.seeds > 3 for size in trend.needed)


def test_one_seed_decides_nothing() -> None:
    (trend,) = trends([dict(zip(DOSES, answers([0.9, 0.7, 0.5, 0.3, 0.1], 500, 1)))], 0.3)
    assert (trend.outcome, trend.needed) == ("undecided", ())


@pytest.mark.parametrize("doses", [[0.5], [0.5, 0.5], [0.0, 1.0]])
def test_a_slope_needs_two_doses_and_an_answer_for_each(doses: list[float]) -> None:
    right = answers([0.5] * (1 if doses == [0.0, 1.0] else len(doses)), 5, 1)
    with pytest.raises(ValueError, match="two doses"):
        slopes(right, doses)


def test_intervals_of_flat_simulated_curves_cover_zero_in_about_95_percent() -> None:
    missed = 0
    for study in range(300):
        rng = np.random.default_rng(study)
        hard, seeds = rng.standard_normal((200, 1)), 0.1 * rng.standard_normal((5, 1, 4))
        noise = 0.5 * rng.standard_normal((5, 200, 4))
        curve = {dose: hard + shift + each > 0 for dose, shift, each in zip(DOSES, seeds, noise)}
        (trend,) = trends([curve], 0.3)
        missed += not trend.interval[0] <= 0 <= trend.interval[1]
    assert missed <= 25  # 15 are expected at 95 %; 25 or fewer with a probability of 99 %
