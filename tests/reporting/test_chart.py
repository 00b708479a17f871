"""Where bars, dots and baselines stand."""

from __future__ import annotations

from pathlib import Path

import pytest

from varireal.config import load_params
from varireal.reporting.chart import LABEL_WIDTH, PLOT_WIDTH, build_charts, common_axis
from varireal.reporting.results import read_results
from varireal.reporting.table import build_rows


def test_axis_is_round_and_holds_everything(finished_study: Path) -> None:
    axis = common_axis(build_rows(read_results(load_params(finished_study / "params.yaml").grid)))
    # lowest: zero-shot 30; highest: 71 + sqrt(2) = 72.4
    assert (axis.low, axis.high, axis.step) == (30, 80, 10)
    assert axis.x(30) == LABEL_WIDTH and axis.x(80) == LABEL_WIDTH + PLOT_WIDTH


def test_bars_reach_from_mean_minus_to_mean_plus_spread(finished_study: Path) -> None:
    charts = build_charts(build_rows(read_results(load_params(finished_study / "params.yaml").grid)))
    assert [chart.attribute for chart in charts] == ["color", "texture"]
    bar = charts[0].bars[0]  # feasible synthetic: 50 and 52
    per_point = PLOT_WIDTH / 50
    assert bar.mean == pytest.approx(LABEL_WIDTH + 21 * per_point)
    assert bar.width == pytest.approx(2 * 2**0.5 * per_point)
    assert bar.dots == pytest.approx((LABEL_WIDTH + 20 * per_point, LABEL_WIDTH + 22 * per_point))
    assert dict(charts[0].baselines) == pytest.approx({"zero-shot": LABEL_WIDTH, "real": LABEL_WIDTH + 31 * per_point})
    assert all(bar.left >= LABEL_WIDTH and bar.left + bar.width <= LABEL_WIDTH + PLOT_WIDTH for bar in charts[1].bars)
