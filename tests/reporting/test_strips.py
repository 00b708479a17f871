"""Round axes, and where bars, dots, baselines and intervals stand on them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from varireal import paths
from varireal.config import load_params
from varireal.evaluation.comparisons import Verdict, comparisons, grid_models, judge, right_answers
from varireal.evaluation.predictions import read_predictions
from varireal.reporting.results import read_results
from varireal.reporting.strips import axis_over, build_charts, build_forest, common_axis
from varireal.reporting.table import build_rows


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


@pytest.fixture
def verdicts(finished_study: Path, monkeypatch: pytest.MonkeyPatch) -> list[Verdict]:
    monkeypatch.setattr("varireal.evaluation.comparisons.DRAWS", 100)  # no test here looks at the bootstrap
    grid = load_params(finished_study / "params.yaml").grid
    right = right_answers(read_predictions(paths.PREDICTIONS, grid_models(grid)), grid)
    return judge(comparisons(grid), right, 0.3, seed=0)


def test_a_panel_for_every_attribute_and_source(verdicts: list[Verdict]) -> None:
    panels = build_forest(verdicts, "feasibility", 0.3)
    assert [panel.title for panel in panels] == [
        "color, synthetic", "color, real+synthetic", "texture, synthetic", "texture, real+synthetic",
    ]  # fmt: skip
    assert [strip.label for strip in panels[0].strips] == [
        "feasible − infeasible", "mixed − feasible", "mixed − infeasible",
    ]  # fmt: skip
    assert [strip.kind for strip in panels[0].strips] == ["different", "undecided", "different"]
    gain = build_forest(verdicts, "gain", 0.3)
    assert gain[-1].title == "baselines" and len(gain[-1].strips) == 1
    assert build_forest(verdicts, "experiments", 0.3) == []


def test_zero_lies_in_the_middle_of_the_margin_and_bars_are_the_intervals(verdicts: list[Verdict]) -> None:
    panel = build_forest(verdicts, "feasibility", 0.3)[0]
    ((_, zero),) = panel.marks
    assert panel.band is not None
    left, width = panel.band
    assert left + width / 2 == pytest.approx(zero)
    point = width / 0.6  # percent of the plot a point of top-1 takes
    for strip, verdict in zip(panel.strips, verdicts[:1]):
        assert strip.mean - zero == pytest.approx(3.0 * point)
        assert strip.left - zero == pytest.approx(verdict.interval[0] * point)
        assert strip.width == pytest.approx((verdict.interval[1] - verdict.interval[0]) * point)
        assert strip.figures.startswith("+3.0 (+")
