"""Looks at growing studies: their levels, what stays decided, and what the next would bring."""

from __future__ import annotations

import itertools

import pytest

from varireal.base.seeding import generator
from varireal.evaluation.comparisons import Comparison, judge
from varireal.evaluation.looks import Looks, is_hopeless, levels, outlook
from varireal.evaluation.pooling import differences
from varireal.evaluation.predictions import Model
from varireal.evaluation.statistics import CrossedMean, crossed_mean


def mean(points: float, error: float, seeds: int = 5, photos: int = 5000) -> CrossedMean:
    """A difference with this standard error, all of it the photos'."""
    return CrossedMean(points, photos, seeds, photo=error**2, seed=0.0, rest=0.0, steadiness=0.0)


def test_each_look_spends_by_the_seeds_that_it_adds_and_all_spend_five_percent() -> None:
    assert levels([3, 5, 10, 20, 40]) == pytest.approx([0.00375, 0.0025, 0.00625, 0.0125, 0.025])
    assert levels([7]) == [0.05]
    assert sum(levels([2, 9, 11])) == pytest.approx(0.05)


def test_a_verdict_stands_and_leaves_its_level_to_the_others() -> None:
    looks = Looks(margin=0.5)
    first = looks.take([mean(5.0, 1.0), mean(2.0, 1.0)], 0.01)
    assert [(each.outcome, each.look) for each in first.verdicts] == [("different", 1), ("undecided", None)]
    again = [mean(0.6, 1.0), mean(2.3, 1.0)]
    second = looks.take(again, 0.03)
    assert [(each.outcome, each.look) for each in second.verdicts] == [("different", 1), ("different", 2)]
    assert second.verdicts[1].p_difference == pytest.approx(again[1].p_value())  # of one, no longer of two
    alone = Looks(margin=0.5).take(again, 0.03)
    assert [each.outcome for each in alone.verdicts] == ["undecided", "undecided"]
    assert alone.verdicts[1].p_difference == pytest.approx(2 * again[1].p_value())


def test_a_difference_later_found_to_be_small_is_equivalence_and_the_other_way_round_is_not() -> None:
    looks = Looks(margin=3.0)
    assert looks.take([mean(2.0, 0.5)], 0.01).verdicts[0].outcome == "different"
    assert looks.take([mean(2.0, 0.2)], 0.01).verdicts[0].outcome == "equivalent"
    (last,) = looks.take([mean(9.0, 0.2)], 0.01).verdicts
    assert (last.outcome, last.look, last.bound) == ("equivalent", 2, looks.taken[1].verdicts[0].bound)


def test_an_equivalence_that_controls_do_not_bear_out_is_none_until_they_do() -> None:
    looks = Looks(margin=3.0)
    first = looks.take([mean(0.0, 0.3), mean(9.0, 0.3)], 0.02, unproven=[0, 1])
    assert [(each.outcome, each.look) for each in first.verdicts] == [("unproven", None), ("different", 1)]
    assert first.undecided == [first.verdicts[0]] and not is_hopeless(first, [(10, 0.02)], 3.0)
    second = looks.take([mean(0.0, 0.3), mean(9.0, 0.3)], 0.02)
    assert [(each.outcome, each.look) for each in second.verdicts] == [("equivalent", 2), ("different", 1)]


def test_what_was_claimed_is_not_taken_back_by_a_later_look_of_less_error() -> None:
    looks = Looks(margin=3.0)
    looks.take([mean(0.0, 0.3), mean(0.0, 2.0)], 0.02)
    second = looks.take([mean(0.0, 0.3), mean(0.0, 0.3)], 0.01, unproven=[0, 1])
    assert [(each.outcome, each.look) for each in second.verdicts] == [("equivalent", 1), ("unproven", None)]


def test_an_equivalence_takes_no_comparison_out_of_the_tests_of_difference() -> None:
    looks = Looks(margin=3.0)
    found = looks.take([mean(0.0, 0.3), mean(4.0, 2.0)], 0.02)
    assert [each.outcome for each in found.verdicts] == ["equivalent", "undecided"]
    other = mean(4.6, 2.0)
    assert looks.take([mean(0.0, 0.3), other], 0.02).verdicts[1].p_difference == pytest.approx(2 * other.p_value())


def test_a_looks_level_is_that_of_its_intervals_tests_and_bounds() -> None:
    one = mean(1.0, 0.7)
    (found,) = Looks(margin=0.5).take([one], 0.02).verdicts
    assert found.interval == one.interval(0.98)
    assert found.bound == one.bound(0.02)
    p = one.p_value()
    assert Looks(0.5).take([one], 1.01 * p).verdicts[0].outcome == "different"
    assert Looks(0.5).take([one], 0.99 * p).verdicts[0].outcome == "undecided"


def test_bounds_never_grow_and_never_contradict_a_verdict() -> None:
    rng = generator("looks")
    for margin in (0.5, 1.5, 3.0):
        looks = Looks(margin)
        for seeds, level in zip((3, 5, 10), levels([3, 5, 10])):
            looks.take([crossed_mean(rng.random((600, seeds)) < share) for share in (0.004, 0.01, 0.02)], level)
        for before, now in itertools.pairwise(looks.taken):
            assert now.bound <= before.bound
            assert all(b.bound >= a.bound for b, a in zip(before.verdicts, now.verdicts))
        for look in looks.taken:
            assert all((each.bound <= margin) == (each.outcome == "equivalent") for each in look.verdicts)
            assert (look.bound <= margin) == all(each.outcome == "equivalent" for each in look.verdicts)


def test_one_look_at_all_of_the_error_is_the_reports_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("varireal.evaluation.comparisons.DRAWS", 10)
    rng = generator("one look")
    models = [Model("synthetic", "color", name) for name in ("feasible", "infeasible", "mixed")]
    answers = {each: rng.random((2000, 4)) < share for each, share in zip(models, (0.5, 0.56, 0.51))}
    compared = [Comparison("feasibility", a, b) for a, b in itertools.combinations(models, 2)]
    by_report = judge(compared, answers, 1.0, seed=0)
    by_look = Looks(1.0).take(differences(compared, answers), levels([4])[0])
    assert "different" in {each.outcome for each in by_look.verdicts}
    for own, other in zip(by_look.verdicts, by_report):
        assert (own.outcome, own.bound, by_look.bound) == (other.outcome, other.bound, other.family_bound)
        assert own.p_difference == pytest.approx(other.p_difference_holm)


def test_one_seed_is_no_look() -> None:
    with pytest.raises(ValueError, match="two seeds"):
        Looks(1.0).take([mean(1.0, 0.1), mean(1.0, 0.1, seeds=1)], 0.01)


def test_the_next_look_is_planned_from_the_parts_of_the_noise() -> None:
    """Seeds rule the first comparison, photos the second: more seeds decide one and leave the other as it is."""
    by_seeds = CrossedMean(3.0, 5000, 3, photo=0.01, seed=4.0, rest=0.0, steadiness=0.0)
    look = Looks(1.0).take([by_seeds, mean(1.0, 1.0, seeds=3)], 0.005)
    assert len(look.undecided) == 2
    ahead = outlook(look, 40, 0.025, margin=1.0)
    # 12 = 3 * 4 over 40 seeds is 0.3: 3 + (1.96 * 0.01 + 2.02 * 0.3) / 0.31**0.5; for the second it is 1 + 1.96 * 1
    assert ahead.likely == 1 and ahead.bound == pytest.approx(4.125, abs=0.002)
    assert outlook(look, 4, 0.005, margin=1.0).likely == 0


def test_more_seeds_are_hopeless_where_photos_rule_and_not_where_seeds_do() -> None:
    later = [(10, 0.01), (40, 0.03)]
    photos_rule = Looks(0.3).take([mean(0.5, 1.0, seeds=5, photos=600)], 0.01)
    assert is_hopeless(photos_rule, [(40, 0.0001)], 0.3)  # at the interval's end a difference would not show either
    seeds_rule = CrossedMean(0.1, 600, 3, photo=0.01, seed=4.0, rest=0.0)
    assert not is_hopeless(Looks(0.3).take([seeds_rule], 0.01), later, 0.3)
