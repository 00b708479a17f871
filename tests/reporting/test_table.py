"""The table's figures, worked out by hand."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from rich.console import Console

from varireal import paths
from varireal.config import load_params
from varireal.errors import UserError
from varireal.evaluation.comparisons import comparisons, grid_models, judge, right_answers
from varireal.evaluation.predictions import read_predictions
from varireal.reporting.results import Results, read_results
from varireal.reporting.table import build_rows, curves_csv, table_csv, table_json, terminal_grid
from varireal.tables import rich_table


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


def test_one_seed_has_no_spread(finished_study: Path) -> None:
    grid = load_params(finished_study / "params.yaml").grid.model_copy(update={"seeds": [1]})
    results = read_results(grid)
    table = table_json(build_rows(results), [])
    assert table["cells"]["color"]["mixed"]["synthetic"]["top1_std"] is None
    assert table["feasible_minus_infeasible"] == {}


def test_feasible_minus_infeasible_is_that_of_the_verdicts(finished_study: Path, results: Results) -> None:
    grid = load_params(finished_study / "params.yaml").grid
    right = right_answers(read_predictions(paths.PREDICTIONS, grid_models(grid)), grid)
    verdicts = judge(comparisons(grid), right, 0.3, seed=0)
    table = table_json(build_rows(results), verdicts)["feasible_minus_infeasible"]
    assert {(attribute, source) for attribute, own in table.items() for source in own} == {
        ("color", "synthetic"), ("color", "real+synthetic"), ("texture", "synthetic"), ("texture", "real+synthetic"),
    }  # fmt: skip
    low, high = verdicts[0].interval
    assert table["color"]["synthetic"] == {"points": 3.0, "low": round(low, 4), "high": round(high, 4)}


def test_csv_leaves_empty_what_does_not_exist(results: Results) -> None:
    lines = table_csv(build_rows(results)).splitlines()
    assert lines[0].startswith("cell,attribute,condition,source,seeds,top1_mean,top1_std")
    assert lines[1] == "zero-shot,,,zero-shot,1,30.0,,80.0,,,,"


def test_curves_have_an_empty_column_for_a_source_outside_the_grid(finished_study: Path) -> None:
    grid = load_params(finished_study / "params.yaml").grid.model_copy(update={"sources": ["synthetic"]})
    assert curves_csv(read_results(grid)).splitlines() == [
        "step,real,synthetic,real+synthetic", "0,40.5000,40.5000,", "5,45.5000,45.5000,", "10,50.5000,50.5000,",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["evaluate.json", "train/real.json", "edit/color_feasible.json", "mix/color.json"])
def test_a_missing_metrics_file_is_named(finished_study: Path, name: str) -> None:
    (finished_study / "metrics" / name).unlink()
    with pytest.raises(UserError, match=f"metrics/{name} is missing"):
        read_results(load_params(finished_study / "params.yaml").grid)


@pytest.mark.parametrize("width", [80, 130])
def test_no_figure_is_cut_off(finished_study: Path, width: int) -> None:
    rows = build_rows(read_results(load_params(finished_study / "params.yaml").grid))
    console = Console(width=width)
    with console.capture() as captured:
        console.print(rich_table(terminal_grid(rows, "rendered_aircraft")))
    text = captured.get()
    assert "…" not in text
    for figure in ("61.0 ± 1.4", "−13.0 ± 0.0", "+41.0 "):
        assert figure in text
    assert max(map(len, text.splitlines())) <= width
