"""Round axes and places on them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from varireal.reporting.strips import axis_over


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=20))
def test_an_axis_holds_its_values_and_ends_on_ticks(values: list[float]) -> None:
    axis = axis_over(values)
    assert all(-1e-3 <= axis.place(value) <= 100 + 1e-3 for value in values)
    ticks = axis.ticks()
    assert ticks[0][1] == 0 and ticks[-1][1] == pytest.approx(100)
    assert 2 <= len(ticks) <= 9


def test_ticks_are_round_and_signed() -> None:
    axis = axis_over([-0.3, 0.3, 0.74])  # 1.04 wide: steps of 0.2
    assert (axis.low, axis.high, axis.step) == pytest.approx((-0.4, 0.8, 0.2))
    assert [label for label, _ in axis.ticks(sign=True)] == ["−0.4", "−0.2", "0", "+0.2", "+0.4", "+0.6", "+0.8"]
    assert axis.place(0.2) == pytest.approx(50)
    assert axis_over([33.0]).ticks() == (("33", 0.0), ("33.1", 100.0))
