"""The size of a study that would come to a verdict."""

from __future__ import annotations

import numpy as np
import pytest

from varireal.evaluation.planning import MOST_TIMES, Size, larger_studies
from varireal.evaluation.statistics import CrossedMean, crossed_mean


def test_more_photos_where_photos_are_the_noise() -> None:
    noise = CrossedMean(0.0, photos=600, seeds=3, photo=1.0, seed=0.0, rest=0.0)
    sizes = larger_studies(noise, margin=1.0, alpha=0.05)
    # equivalent: z(0.95) + z(0.90) standard errors within the margin
    wanted = 600 * (1.645 + 1.282) ** 2
    assert sizes == [Size(pytest.approx(wanted, rel=0.01), 3)]  # seeds alone cannot: the photos' part stays


def test_more_seeds_where_seeds_are_the_noise() -> None:
    noise = CrossedMean(3.0, photos=5000, seeds=4, photo=0.001, seed=1.5, rest=0.0)
    (size,) = larger_studies(noise, margin=0.3, alpha=0.05)
    assert size.photos == 5000
    reached = noise.planned(5000, size.seeds)
    short = noise.planned(5000, size.seeds - 1)
    assert reached.half_width(0.05) + 0.8416 * reached.standard_error <= 3.0
    assert short.half_width(0.05) + 0.8416 * short.standard_error > 3.0


def test_both_where_neither_is_enough() -> None:
    noise = CrossedMean(0.0, photos=600, seeds=3, photo=1.0, seed=1.0, rest=0.0)
    (size,) = larger_studies(noise, margin=1.0, alpha=0.05)
    assert size.photos > 600 and size.seeds > 3


def test_one_seed_can_plan_nothing() -> None:
    with pytest.raises(ValueError, match="one seed"):
        larger_studies(crossed_mean(np.ones((50, 1), np.int8)), 0.3, 0.05)


def test_no_study_is_planned_that_nobody_could_run() -> None:
    """A difference of 0 with photos as the only noise needs (1.645 + 1.282)² / margin² times the photos."""
    noise = CrossedMean(0.0, photos=600, seeds=3, photo=1.0, seed=0.0, rest=0.0)
    for times, realistic in ((0.98, True), (1.02, False)):
        margin = (1.645 + 1.282) / (times * MOST_TIMES) ** 0.5
        sizes = larger_studies(noise, margin=margin, alpha=0.05)
        assert bool(sizes) == realistic
        assert all(size.photos <= MOST_TIMES * 600 and size.seeds <= MOST_TIMES * 3 for size in sizes)


def test_a_difference_that_drowns_in_the_seeds_noise_has_no_plan() -> None:
    assert larger_studies(CrossedMean(0.3, photos=600, seeds=3, photo=0.1, seed=9.0, rest=0.0), 0.3, 0.05) == []
