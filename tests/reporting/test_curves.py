"""Training curves: means over seeds, on common axes."""

from __future__ import annotations

from pathlib import Path

import pytest

from varireal.config import load_params
from varireal.reporting.curves import HEIGHT, LEFT, TOP, WIDTH, build_curves
from varireal.reporting.results import Results, read_results


@pytest.fixture
def results(finished_study: Path) -> Results:
    return read_results(load_params(finished_study / "params.yaml").grid)


def test_a_plot_for_every_attribute_and_source_with_the_real_baseline(results: Results) -> None:
    plots = build_curves(results, "val_top1")
    assert [plot.title for plot in plots] == [
        "color, synthetic", "color, real+synthetic", "texture, synthetic", "texture, real+synthetic",
    ]  # fmt: skip
    assert [curve.kind for curve in plots[0].curves] == ["real", "feasible", "infeasible", "mixed"]
    assert "real only from 40.5 at step 0 to 50.5 at step 10" in plots[0].words


def test_points_are_means_over_seeds_in_the_plot(results: Results) -> None:
    curve = build_curves(results, "val_top1")[0].curves[0]
    # val top-1 is 40 + step + seed: 40.5, 45.5 and 50.5 over two seeds, on an axis from 40 to 52 in steps of 2
    assert [x for x, _ in curve.points] == pytest.approx([LEFT, LEFT + WIDTH / 2, LEFT + WIDTH])
    assert [y for _, y in curve.points] == pytest.approx(
        [TOP + HEIGHT * (52 - value) / 12 for value in (40.5, 45.5, 50.5)]
    )


def test_a_flat_measure_is_drawn_too(results: Results) -> None:
    ys = {y for plot in build_curves(results, "train_loss") for curve in plot.curves for _, y in curve.points}
    assert len(ys) == 1 and TOP <= ys.pop() <= TOP + HEIGHT
