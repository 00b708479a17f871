"""Where the intervals of the comparisons stand."""

from __future__ import annotations

from pathlib import Path

import pytest

from varireal import paths
from varireal.config import load_params
from varireal.evaluation.comparisons import Verdict, comparisons, grid_models, judge, right_answers
from varireal.evaluation.predictions import read_predictions
from varireal.reporting.forest import build_forest


@pytest.fixture
def verdicts(finished_study: Path, monkeypatch: pytest.MonkeyPatch) -> list[Verdict]:
    monkeypatch.setattr("varireal.evaluation.comparisons.DRAWS", 100)  # no test here looks at the bootstrap
    grid = load_params(finished_study / "params.yaml").grid
    return judge(
        comparisons(grid), right_answers(read_predictions(paths.PREDICTIONS, grid_models(grid)), grid), 0.3, seed=0
    )


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
