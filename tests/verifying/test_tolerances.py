"""What may differ by how much; the numbers are worked out from photos, classes and the margin."""

from __future__ import annotations

from typing import Any

import pytest

from varireal.verifying.tolerances import Scale, count_figures, differences

SCALE = Scale(margin=0.3, test_photos=600, val_photos=100, classes=10)


@pytest.mark.parametrize(
    ("before", "now", "agrees"),
    [
        ({"cells": [{"top1": 50.0}]}, {"cells": [{"top1": 50.5}]}, True),  # 3 of 600 photos are 0.5 points
        ({"cells": [{"top1": 50.0}]}, {"cells": [{"top1": 50.7}]}, False),
        ({"per_class": {"jet": 40.0}}, {"per_class": {"jet": 45.0}}, True),  # 3 of a class's 60 photos
        ({"per_class": {"jet": 40.0}}, {"per_class": {"jet": 46.7}}, False),
        ({"val_top1": 48.0}, {"val_top1": 51.0}, True),  # 3 of 100 photos
        ({"val_top1": 48.0}, {"val_top1": 52.0}, False),
        ({"top1_mean": 50.0}, {"top1_mean": 50.3}, True),  # the margin, which is less than three photos
        ({"top1_mean": 50.0}, {"top1_mean": 49.6}, False),
        ({"bound": 12.0}, {"bound": 13.1}, True),  # a tenth of what comes from few seeds
        ({"bound": 12.0}, {"bound": 13.3}, False),
        ({"low": -0.5}, {"low": 0.4}, True),  # a point, where a tenth is less
        ({"p_difference": 0.2}, {"p_difference": 0.29}, True),
        ({"p_difference": 0.2}, {"p_difference": 0.31}, False),
        ({"accepted": 155}, {"accepted": 157}, True),
        ({"accepted": 155}, {"accepted": 158}, False),
        ({"accepted": 5000}, {"accepted": 5050}, True),  # one in a hundred
        ({"val_loss": 1.2}, {"val_loss": 1.2119}, True),
        ({"val_loss": 1.2}, {"val_loss": 1.2121}, False),
        ({"changed_outside": 0}, {"changed_outside": 1}, False),  # a promise
        ({"seeds": 3}, {"seeds": 4}, False),
        ({"outcome": "undecided"}, {"outcome": "different"}, False),
        ({"passed": True}, {"passed": False}, False),
        ({"name": "a"}, {"name": "b"}, False),
        ({"top1": 50.0}, {"top1": None}, False),
        ({"top1": 50.0}, {}, False),
        ({}, {"new": 1.0}, False),
        ({"runs": [1.0, 2.0]}, {"runs": [1.0]}, False),
    ],
)  # fmt: skip
def test_a_figure_may_differ_by_so_much(before: dict[str, Any], now: dict[str, Any], agrees: bool) -> None:
    (found,) = differences(before, now, SCALE)
    assert found.agrees is agrees


def test_sentences_and_what_follows_from_other_figures_are_not_judged() -> None:
    before = {"words": "needs 7 more seeds", "needed": [{"photos": 600, "seeds": 24}], "best_step": 10}
    assert differences(before, {"words": "needs 8", "needed": [], "best_step": 20}, SCALE) == []
    assert count_figures({**before, "outcome": "undecided", "top1": 50.0, "runs": [{"top1": 1.0}]}) == (2, 1)


def test_a_verdict_is_told_from_a_figure_and_a_share_of_the_tolerance_is_known() -> None:
    verdict, figure = differences({"a": {"outcome": "x"}, "top1": 50.0}, {"a": {"outcome": "y"}, "top1": 50.1}, SCALE)
    assert (verdict.key, verdict.is_verdict) == ("a.outcome", True)
    assert (figure.key, figure.is_verdict) == ("top1", False) and figure.share == pytest.approx(0.2)


def test_a_wide_margin_lets_no_mean_differ_by_more_than_a_single_accuracy() -> None:
    """Three of 600 photos are half a point."""
    wide = Scale(margin=5.0, test_photos=600, val_photos=100, classes=10)
    (found,) = differences({"top1_mean": 50.0}, {"top1_mean": 51.0}, wide)
    assert found.allowed == pytest.approx(0.5) and not found.agrees
