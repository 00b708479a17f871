"""The rules by which answers make an edit pass, against a table that was worked out by hand."""

from __future__ import annotations

import pytest

from varireal.config import FilterConfig
from varireal.editing.filters.rules import passes, rule_identity

LEAST = {"attribute": 0.5, "class": 0.5, "possibility": 0.5}
NO_CLASS = {**LEAST, "class": 0.0}


def config(**settings: object) -> FilterConfig:
    return FilterConfig.model_validate({"name": "none", **settings})


@pytest.mark.parametrize(
    ("scores", "every", "most", "study"),  # all; mean of three questions; mean without that of the class
    [
        ((0.9, 0.9, 0.9), True, True, True),
        ((0.9, 0.9, 0.1), False, True, True),  # two of three; one of two
        ((0.1, 0.9, 0.9), False, True, True),
        ((0.9, 0.1, 0.1), False, False, True),  # one of three; one of two
        ((0.4, 0.9, 0.4), False, False, False),  # the class alone counts for nothing in the study
        ((0.1, 0.1, 0.1), False, False, False),
        ((0.5, 0.5, 0.5), True, True, True),  # the threshold itself is enough
        ((0.0, 0.0, 0.99), False, False, True),  # answers count, not how sure they are: the mean score is 0.5 at most
    ],
)
def test_all_or_half_of_the_answers(scores: tuple[float, ...], every: bool, most: bool, study: bool) -> None:
    named = dict(zip(LEAST, scores))
    assert passes(named, LEAST, config()) == every
    assert passes(named, LEAST, config(rule="mean")) == most
    assert passes(named, NO_CLASS, config(rule="mean")) == study


def test_the_share_is_a_setting_and_no_question_refuses_nothing() -> None:
    named = {"attribute": 0.9, "class": 0.9, "possibility": 0.1}
    assert passes(named, LEAST, config(rule="mean", mean_threshold=0.66))
    assert not passes(named, LEAST, config(rule="mean", mean_threshold=0.67))
    assert passes(dict.fromkeys(LEAST, 0.0), dict.fromkeys(LEAST, 0.0), config(rule="mean"))
    assert passes({}, {}, config(rule="mean")) and passes({}, {}, config())


def test_the_rule_decides_answers_and_the_default_leaves_finished_ones_valid() -> None:
    assert rule_identity(config()) == {}
    assert rule_identity(config(rule="mean")) != rule_identity(config(rule="mean", mean_threshold=1.0))
