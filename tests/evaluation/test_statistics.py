from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import chi2, nct, norm, t, ttest_1samp

from varireal.base.seeding import generator
from varireal.evaluation.statistics import (
    CrossedMean,
    bootstrap_means,
    crossed_mean,
    mcnemar,
    spread,
)

VALUES = st.lists(st.floats(0, 100), min_size=2, max_size=20)
differences = st.tuples(st.integers(2, 12), st.integers(2, 5)).flatmap(
    lambda shape: arrays(np.int8, shape, elements=st.integers(-1, 1))
)


def answers(photos: int, seeds: int, share: float = 0.2) -> np.ndarray:
    """Differences that lean to neither side, some photos always different, some by chance."""
    rng = generator("test statistics", photos, seeds)
    steady = rng.choice([-1, 0, 1], (photos, 1), p=[share / 2, 1 - share, share / 2])
    return np.where(rng.random((photos, seeds)) < 0.5, steady, rng.integers(-1, 2, (photos, seeds))).astype(np.int8)


def test_mean_squares_are_those_of_the_analysis_of_variance() -> None:
    import pandas as pd
    from statsmodels.formula.api import ols
    from statsmodels.stats.anova import anova_lm

    values = answers(30, 4)
    rows = [{"photo": i, "seed": s, "value": 100.0 * values[i, s]} for i in range(30) for s in range(4)]
    table = anova_lm(ols("value ~ C(photo) + C(seed)", pd.DataFrame(rows)).fit())
    found = crossed_mean(values)
    assert found.mean == pytest.approx(100 * values.mean())
    assert found.seed * 120 == pytest.approx(table.loc["C(seed)", "mean_sq"])
    assert found.rest * 120 == pytest.approx(table.loc["Residual", "mean_sq"])
    # the photos' sum of squares holds one photo more on either side, each by half
    assert found.photo * 120 == pytest.approx((table.loc["C(photo)", "sum_sq"] + 4 * 100**2) / 31)


def test_one_seed_leaves_the_interval_of_student_over_photos() -> None:
    found = crossed_mean(np.array([[1], [1], [0], [0], [-1], [1], [0], [0]]))
    deviation = math.sqrt((3.5 + 1) / 9)  # sum of squares 4 - 8 * 0.25², one more, over 8 + 1
    half = t.ppf(0.975, 7) * 100 * deviation / math.sqrt(8)
    assert found.interval() == pytest.approx((25 - half, 25 + half))
    assert (found.seed, found.rest) == (0.0, 0.0)


def test_seeds_that_alone_differ_leave_the_interval_of_student_over_seeds() -> None:
    # what the photos add is negligible: every photo moves with its seed
    found = CrossedMean(1.0, photos=5000, seeds=4, photo=1e-9, seed=0.25, rest=1e-12)
    half = t.ppf(0.975, 3) * 0.5
    assert found.interval() == pytest.approx((1 - half, 1 + half), rel=1e-4)
    assert found.p_value() == pytest.approx(2 * t.sf(2.0, 3), rel=1e-3)


@pytest.mark.parametrize(("seeds", "most"), [(3, 0.972), (5, 0.965), (10, 0.96)])
def test_the_interval_covers_what_it_says_whatever_the_parts_of_the_variance(seeds: int, most: float) -> None:
    """Its mean over the seeds' mean square, whose distribution is known; photos are so many that theirs is exact."""
    shares = (np.arange(400) + 0.5) / 400
    for rest in (0.02, 0.3, 0.6, 0.999):  # of the photos' mean square, which is 1
        for variance in (0.0, 0.1, 0.3, 1.0, 3.0, 100.0):  # the variance of the mean that seeds give
            squares = (rest + variance) * chi2.ppf(shares, seeds - 1) / (seeds - 1)
            halves = [CrossedMean(0.0, 10**6, seeds, 1.0, float(s), rest).interval()[1] for s in squares]
            covered = (2 * norm.cdf(np.array(halves) / math.sqrt(1 + variance)) - 1).mean()
            assert 0.948 <= covered <= most, (rest, variance, covered)


def test_seeds_that_are_alike_by_chance_leave_the_error_of_a_photo_more() -> None:
    values = np.zeros((100, 3), np.int8)
    values[:4] = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]]  # every seed wins one photo, each another one
    found = crossed_mean(values)
    assert (found.seed, found.photo - found.rest) == (0.0, pytest.approx(100**2 / 101 / 100))
    assert found.interval()[0] < 0 < found.mean


def test_models_that_agree_on_all_photos_are_not_taken_to_be_the_same() -> None:
    few, many = (crossed_mean(np.zeros((photos, 3), np.int8)) for photos in (600, 4000))
    assert few.p_value() == 1.0
    # a true difference of 0.3 points shows on none of 600 photos with probability 0.997^600
    assert few.equivalence_p_value(0.3) == pytest.approx(0.997**600)
    assert few.equivalence_p_value(0.3) > 0.05 > many.equivalence_p_value(0.3)


def test_equivalence_needs_the_ninety_percent_interval_inside_the_margin() -> None:
    found = crossed_mean(answers(900, 4))
    low, high = found.interval(0.9)
    edge = max(abs(low), abs(high))
    assert found.equivalence_p_value(edge * 1.001) < 0.05 < found.equivalence_p_value(edge * 0.999)
    assert found.equivalence_p_value(abs(found.mean) / 2) > 0.5


def test_few_differing_photos_do_not_shrink_the_error_at_the_margin() -> None:
    values = np.zeros((600, 3), np.int8)
    values[:4] = 1  # by chance 4 where 12 would be expected at a margin of 2 points
    found = crossed_mean(values)
    assert found.steadiness == pytest.approx(1.0)
    assert found.at_margin(2.0).photo == pytest.approx(100**2 * 0.02 * 0.98 / 600)
    assert found.at_margin(0.3).photo == found.photo
    distance, error = 2 - 400 / 600, 100 * math.sqrt(0.02 * 0.98 / 600)
    assert found.equivalence_p_value(2.0) == pytest.approx(t.sf(distance / error, 599), rel=1e-3)


@settings(max_examples=40, deadline=None)
@given(differences, st.randoms(use_true_random=False))
def test_order_does_not_matter_and_sides_are_alike(values: np.ndarray, random) -> None:
    photos, seeds = (random.sample(range(size), size) for size in values.shape)
    found, shuffled, other = (crossed_mean(v) for v in (values, values[photos][:, seeds], -values))
    assert shuffled.mean == pytest.approx(found.mean) == pytest.approx(-other.mean)
    assert shuffled.half_width(0.05) == pytest.approx(found.half_width(0.05)) == pytest.approx(other.half_width(0.05))
    assert mcnemar(values) == mcnemar(-values)


@settings(max_examples=40, deadline=None)
@given(differences, st.floats(0.001, 0.999))
def test_p_value_says_where_the_interval_ends(values: np.ndarray, tail: float) -> None:
    found = crossed_mean(values)
    assert found.p_value(found.mean + found.half_width(tail)) == pytest.approx(tail, abs=1e-6)
    assert found.half_width(tail) >= found.half_width(min(1.0, 1.1 * tail))


@settings(max_examples=40, deadline=None)
@given(differences)
def test_a_study_planned_of_the_same_size_is_the_same(values: np.ndarray) -> None:
    found = crossed_mean(values)
    plan = found.planned(found.photos, found.seeds)
    assert plan.photo == pytest.approx(max(found.photo, found.rest))  # components of variance are not negative
    assert plan.seed == pytest.approx(max(found.seed, found.rest))
    assert plan.rest == pytest.approx(found.rest)
    assert found.planned(2 * found.photos, 3 * found.seeds).standard_error < plan.standard_error


def test_bootstrap_is_that_of_drawing_photo_by_photo() -> None:
    values, draws = answers(40, 3), 6000
    fast = bootstrap_means(values, draws, generator("fast"))
    rng = generator("slow")
    slow = np.array([values[rng.integers(0, 40, 40)][:, rng.integers(0, 3, 3)].mean() * 100 for _ in range(draws)])
    error = slow.std() / math.sqrt(draws)
    assert fast.mean() == pytest.approx(slow.mean(), abs=5 * error)
    assert fast.std() == pytest.approx(slow.std(), rel=0.05)
    assert np.quantile(fast, [0.025, 0.975]) == pytest.approx(np.quantile(slow, [0.025, 0.975]), abs=0.1 * slow.std())
    assert np.array_equal(fast, bootstrap_means(values, draws, generator("fast")))


def test_mcnemar_is_exact_for_every_seed_and_counts_photos_once() -> None:
    from statsmodels.stats.contingency_tables import mcnemar as reference

    values = np.zeros((100, 3), np.int8)
    values[:12, 0], values[12:15, 0] = 1, -1
    values[:9, 1], values[9:14, 1] = 1, -1
    each, together = mcnemar(values)
    assert each[0] == pytest.approx(reference([[40, 12], [3, 45]], exact=True).pvalue)
    assert each[1] == pytest.approx(reference([[40, 9], [5, 46]], exact=True).pvalue)
    assert each[2] == 1.0
    assert together == pytest.approx(1.5 * each[1])  # the second smallest of three
    same = np.repeat(values[:, :1], 3, axis=1)
    assert mcnemar(same)[1] >= each[0]  # three times the same seed is no more evidence than once


def failing_margin(found: CrossedMean, alpha: float) -> float:
    """The largest of 2,000 margins at which the test of equivalence does not pass, by looking at each."""
    return max((m for m in np.arange(2000) / 20 if found.equivalence_p_value(m or 1e-9) > alpha), default=0.0)


def test_the_bound_is_where_scipys_two_tests_reach_five_percent() -> None:
    """Seeds that never differ leave Student's test over the photos; a photo more of 4,000 hardly shows."""
    steady = np.repeat(answers(4000, 1, share=0.6), 3, axis=1)
    bound = crossed_mean(steady).bound(0.05)
    points = 100.0 * steady[:, 0]
    one_sided = [
        ttest_1samp(points, side * bound, alternative=way).pvalue for side, way in ((1, "less"), (-1, "greater"))
    ]
    assert max(one_sided) == pytest.approx(0.05, rel=0.01)


def test_the_bound_of_seeds_alone_is_students() -> None:
    seeds_only = CrossedMean(-1.5, photos=10**6, seeds=5, photo=0.0, seed=4.0, rest=0.0, steadiness=1e-9)
    assert seeds_only.bound(0.01) == pytest.approx(1.5 + t.ppf(0.99, 4) * 2.0)


@pytest.mark.parametrize("alpha", [0.05, 0.05 / 18])
@pytest.mark.parametrize(("photos", "seeds", "share"), [(150, 3, 0.2), (150, 2, 0.2), (600, 5, 0.05), (400, 4, 0.9)])
def test_the_bound_is_the_margin_that_a_search_finds(photos: int, seeds: int, share: float, alpha: float) -> None:
    found = crossed_mean(answers(photos, seeds, share))
    assert 0 <= found.bound(alpha) - failing_margin(found, alpha) <= 1 / 20


def test_models_that_agree_on_all_photos_are_bounded_by_what_so_many_photos_can_hide() -> None:
    # Student's part: photo 1 / 601 / 600, or that of the margin; the other: 0.05^(1/600) = 0.99502
    found = crossed_mean(np.zeros((600, 3), np.int8))
    assert found.bound(0.05) >= 100 * (1 - 0.05 ** (1 / 600))
    assert found.equivalence_p_value(found.bound(0.05) * 1.0001) <= 0.05


def test_too_noisy_a_study_bounds_nothing_and_one_seed_is_no_study() -> None:
    wild = CrossedMean(0.0, photos=600, seeds=2, photo=1.0, seed=100.0, rest=0.0)
    assert wild.bound(0.05 / 18) == 100.0 and wild.detectable(0.05 / 18) == 100.0
    for figure in (CrossedMean.bound, CrossedMean.detectable):
        with pytest.raises(ValueError, match="one seed"):
            figure(crossed_mean(answers(50, 1)), 0.05)


@settings(max_examples=60, deadline=None)
@given(differences, st.floats(0.001, 0.2))
def test_a_bound_is_never_below_the_difference_and_every_margin_above_it_passes(
    values: np.ndarray, alpha: float
) -> None:
    found = crossed_mean(values)
    bound = found.bound(alpha)
    assert abs(found.mean) <= bound <= 100
    assert bound <= found.bound(alpha / 2)
    for margin in np.linspace(bound, 100, 12):
        if bound < 100:
            assert found.equivalence_p_value(min(100.0, margin * (1 + 1e-9) + 1e-9)) <= alpha * (1 + 1e-6)


many = st.tuples(st.integers(20, 40), st.integers(4, 6)).flatmap(
    lambda shape: arrays(np.int8, shape, elements=st.integers(-1, 1))
)


@settings(max_examples=60, deadline=None)
@given(many, st.integers(2, 5))
def test_a_bound_shrinks_with_more_photos(values: np.ndarray, times: int) -> None:
    """The same answers for so many times the photos; with four seeds or more, see half_width."""
    few, more = (crossed_mean(each).bound(0.05) for each in (values, np.tile(values, (times, 1))))
    assert more < few or few == more == 100


@pytest.mark.parametrize("alpha", [0.05, 0.05 / 18])
@pytest.mark.parametrize("seeds", [3, 5, 20])
def test_what_is_detectable_is_the_textbooks_where_one_part_rules(seeds: int, alpha: float) -> None:
    from statsmodels.stats.power import TTestPower

    by_seeds = CrossedMean(0.3, photos=600, seeds=seeds, photo=0.0, seed=4.0, rest=0.0).detectable(alpha) / 2
    by_photos = CrossedMean(0.3, photos=600, seeds=seeds, photo=4.0, seed=0.0, rest=0.0).detectable(alpha) / 2
    for errors, count in ((by_seeds, seeds), (by_photos, 600)):
        assert nct.sf(t.ppf(1 - alpha / 2, count - 1), count - 1, errors) == pytest.approx(0.8, abs=1e-4)
        if alpha == 0.05:  # below it this solver does not always arrive
            effect = TTestPower().solve_power(nobs=count, alpha=alpha, power=0.8)
            assert errors == pytest.approx(float(np.squeeze(effect)) * math.sqrt(count), rel=1e-3)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_what_is_detectable_is_found_four_times_in_five(seeds: int, share: float) -> None:
    """The share of studies whose interval excludes 0, over the seeds' mean square; that of so many photos is known."""
    truth = CrossedMean(0.0, photos=10**6, seeds=seeds, photo=1 - share, seed=share, rest=0.0)
    size = truth.detectable(0.05)
    squares = share * chi2.ppf((np.arange(2000) + 0.5) / 2000, seeds - 1) / (seeds - 1)
    halves = np.array([CrossedMean(0.0, 10**6, seeds, 1 - share, float(s), 0.0).half_width(0.05) for s in squares])
    assert 0.78 <= (1 - norm.cdf(halves - size)).mean() <= 0.86


@pytest.mark.parametrize("shape", [(1, 3), (0, 3), (5, 0)])
def test_too_few_values_are_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="two photos and one seed"):
        crossed_mean(np.zeros(shape, np.int8))


def test_three_seeds_by_hand():
    # squared deviations 4 + 0 + 4, so the variance is 4; t(0.975) of 2 degrees is 4.302653; 4.302653 * 2 / sqrt(3)
    found = spread([60.0, 62.0, 64.0])
    assert (found.mean, found.std, found.minimum, found.maximum, found.count) == (62.0, 2.0, 60.0, 64.0, 3)
    assert found.half_width == pytest.approx(4.968275, abs=1e-5)


def test_one_run_has_no_spread_and_none_is_an_error():
    found = spread([55.5])
    assert (found.mean, found.std, found.half_width, found.count) == (55.5, None, None, 1)
    with pytest.raises(ValueError, match="one value"):
        spread([])
    with pytest.raises(ValueError, match="inside"):
        spread([1.0, 2.0], confidence=1.0)


@given(VALUES, st.randoms(use_true_random=False))
def test_order_does_not_matter_and_the_mean_lies_between_the_ends(values, random):
    found = spread(values)
    shuffled = random.sample(values, len(values))
    assert spread(shuffled).mean == pytest.approx(found.mean)
    assert spread(shuffled).std == pytest.approx(found.std, abs=1e-9)
    assert found.minimum - 1e-9 <= found.mean <= found.maximum + 1e-9
    assert found.std == pytest.approx(statistics.pvariance(values) ** 0.5 * (len(values) / (len(values) - 1)) ** 0.5)


@given(VALUES, st.floats(-50, 50))
def test_a_shift_moves_the_mean_and_leaves_the_spread(values, shift):
    moved, found = spread([value + shift for value in values]), spread(values)
    assert moved.mean == pytest.approx(found.mean + shift, abs=1e-6)
    assert moved.half_width == pytest.approx(found.half_width, abs=1e-6)


@given(VALUES)
def test_more_confidence_needs_a_wider_interval(values):
    assert spread(values, 0.99).half_width >= spread(values, 0.9).half_width


def test_no_interval_reaches_beyond_what_points_can_be():
    found = crossed_mean(np.array([[1, 1], [1, 1], [1, 0]], np.int8))  # 3 photos, 2 seeds: the half width is over 100
    assert found.half_width(0.05) > 100
    low, high = found.interval()
    assert -100 <= low < found.mean < high == 100
