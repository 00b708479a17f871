"""Numbers as the page writes them."""

from __future__ import annotations

from varireal.evaluation.statistics import spread
from varireal.reporting.words import counted, percent, signed, with_spread


def test_numbers_have_signs_and_no_negative_zero() -> None:
    assert [signed(value) for value in (0.44, -1.25, -0.01, 0.0)] == ["+0.4", "−1.2", "0.0", "0.0"]
    assert with_spread(spread([1.0, 3.0]), sign=True) == "+2.0 ± 1.4"
    assert with_spread(spread([52.04])) == "52.0"


def test_one_is_singular() -> None:
    assert [counted(n, "more seed") for n in (0, 1, 2, 41000)] == [
        "0 more seeds", "1 more seed", "2 more seeds", "41,000 more seeds",
    ]  # fmt: skip


def test_a_share_that_does_not_exist_is_a_dash() -> None:
    assert [percent(share) for share in (None, 0.0, 0.834, 1.0)] == ["–", "0 %", "83 %", "100 %"]
