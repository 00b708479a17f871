"""Where bars, dots and baselines stand."""

from __future__ import annotations

from pathlib import Path

import pytest

from varireal.config import load_params
from varireal.reporting.chart import build_charts, common_axis
from varireal.reporting.results import read_results
from varireal.reporting.table import build_rows


def test_axis_is_round_and_holds_everything(finished_study: Path) -> None:
    axis = common_axis(build_rows(read_results(load_params(finished_study / "params.yaml").grid)))
    # lowest: zero-shot 30; highest: 71 + sqrt(2) = 72.4
    assert (axis.low, axis.high, axis.step) == (30, 80, 10)


def test_bars_reach_from_mean_minus_to_mean_plus_spread(finished_study: Path) -> None:
    charts = build_charts(build_rows(read_results(load_params(finished_study / "params.yaml").grid)))
    assert [chart.title for chart in charts] == ["color", "texture"]
    strip = charts[0].strips[0]  # feasible synthetic: 50 and 52, on an axis from 30 to 80: 2 % a point
    assert (strip.label, strip.kind, strip.figures) == ("feasible, synthetic", "alone", "51.0 ± 1.4 %")
    assert strip.mean == pytest.approx(42)
    assert strip.width == pytest.approx(2 * 2 * 2**0.5)
    assert strip.dots == pytest.approx((40, 44))
    assert dict(charts[0].marks) == pytest.approx({"zero-shot": 0, "real": 62})
    assert all(strip.left >= 0 and strip.left + strip.width <= 100 for strip in charts[1].strips)
