"""The chance that mix is served, against sums that are known in closed form."""

from __future__ import annotations

import math

import pytest

from varireal.previewing.chance import served_chance


@pytest.mark.parametrize(("accepted", "tried"), [(0, 8), (3, 8), (8, 8), (0, 0)])
def test_one_edit_is_accepted_with_the_mean_of_the_posterior(accepted: int, tried: int) -> None:
    assert served_chance(accepted, tried, [1], 1) == pytest.approx((accepted + 0.5) / (tried + 1), abs=1e-6)


def test_several_edits_and_classes() -> None:
    def beta(a: float, b: float) -> float:
        return math.exp(math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b))

    # one class of three edits: 1 - E[(1 - p)^3]; two classes of one edit each: E[p^2]
    assert served_chance(2, 8, [3], 1) == pytest.approx(1 - beta(2.5, 9.5) / beta(2.5, 6.5), abs=1e-6)
    assert served_chance(2, 8, [1, 1], 1) == pytest.approx(beta(4.5, 6.5) / beta(2.5, 6.5), abs=1e-6)
    assert served_chance(2, 8, [2], 2) == pytest.approx(beta(4.5, 6.5) / beta(2.5, 6.5), abs=1e-6)
    assert served_chance(8, 8, [2], 3) == 0.0  # more than there are
