from __future__ import annotations

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from varireal.evaluation.spread import spread

VALUES = st.lists(st.floats(0, 100), min_size=2, max_size=20)


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
