"""The table's figures, worked out by hand."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from varireal.config import load_params
from varireal.errors import UserError
from varireal.reporting.results import Results, read_results
from varireal.reporting.table import build_rows, contrasts, curves_csv, table_csv, table_json


@pytest.fixture
def results(finished_study: Path) -> Results:
    return read_results(load_params(finished_study / "params.yaml").grid)


def test_rows_are_the_baselines_and_then_the_grid_in_its_order(results: Results) -> None:
    rows = build_rows(results)
    assert [row.cell for row in rows[:5]] == [
        "zero-shot", "real", "color feasible synthetic", "color feasible real+synthetic", "color infeasible synthetic",
    ]  # fmt: skip
    assert len(rows) == 2 + 2 * 3 * 2


def test_a_row_holds_mean_spread_and_gains(results: Results) -> None:
    row = next(row for row in build_rows(results) if row.cell == "texture infeasible synthetic")
    # seeds 47 and 49 against real-only 60 and 62: -13 in both
    assert row.points == (47.0, 49.0)
    assert (row.top1.mean, row.top1.std) == (48.0, pytest.approx(math.sqrt(2)))
    assert row.minus_real is not None
    assert (row.minus_real.mean, row.minus_real.std) == (-13.0, 0.0)
    assert row.minus_zero_shot == 18.0


def test_contrasts_pair_feasible_with_infeasible_seed_by_seed(results: Results) -> None:
    found = contrasts(results)
    assert [(pair.attribute, pair.source) for pair in found] == [
        ("color", "synthetic"), ("color", "real+synthetic"), ("texture", "synthetic"), ("texture", "real+synthetic"),
    ]  # fmt: skip
    assert all((pair.points.mean, pair.points.std) == (3.0, 0.0) for pair in found)


def test_no_contrast_without_both_conditions(finished_study: Path) -> None:
    grid = load_params(finished_study / "params.yaml").grid.model_copy(update={"conditions": ["feasible", "mixed"]})
    assert contrasts(read_results(grid)) == []


def test_one_seed_has_no_spread(finished_study: Path) -> None:
    grid = load_params(finished_study / "params.yaml").grid.model_copy(update={"seeds": [1]})
    results = read_results(grid)
    table = table_json(build_rows(results), contrasts(results))
    assert table["cells"]["color"]["mixed"]["synthetic"]["top1_std"] is None
    assert table["feasible_minus_infeasible"]["color"]["synthetic"] == {"points": 3.0, "std": None}


def test_csv_leaves_empty_what_does_not_exist(results: Results) -> None:
    lines = table_csv(build_rows(results)).splitlines()
    assert lines[0].startswith("cell,attribute,condition,source,seeds,top1_mean,top1_std")
    assert lines[1] == "zero-shot,,,zero-shot,1,30.0,,80.0,,,,"


def test_curves_have_an_empty_column_for_a_source_outside_the_grid(finished_study: Path) -> None:
    grid = load_params(finished_study / "params.yaml").grid.model_copy(update={"sources": ["synthetic"]})
    assert curves_csv(read_results(grid)).splitlines() == [
        "step,real,synthetic,real+synthetic", "0,40.5000,40.5000,", "5,45.5000,45.5000,", "10,50.5000,50.5000,",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "name", ["evaluate.json", "train/real.json", "edit/color_feasible.json", "mix/color_mixed.json"]
)
def test_a_missing_metrics_file_is_named(finished_study: Path, name: str) -> None:
    (finished_study / "metrics" / name).unlink()
    with pytest.raises(UserError, match=f"metrics/{name} is missing"):
        read_results(load_params(finished_study / "params.yaml").grid)
