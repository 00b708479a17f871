"""Differences of classes and confusions, counted by hand."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from varireal import paths
from varireal.config import GridConfig
from varireal.evaluation.predictions import read_predictions
from varireal.reporting.classes import build_class_tables

GRID = GridConfig(
    attributes=["color"], feasibilities=["feasible", "infeasible"], conditions=["feasible", "infeasible"],
    sources=["synthetic"], seeds=[0, 1],
)  # fmt: skip


def write(path: Path, predicted: dict[str, list[int]]) -> None:
    """Four photos of class 0 and one of class 1, answered by two seeds and, otherwise, by one that is not asked for."""
    rows = []
    for condition, answers in predicted.items():
        for seed in (0, 1, 7):
            own = answers if seed != 7 else [2] * 5
            rows += [("color", condition, "synthetic", seed, f"p{k}", int(k == 4), own[k]) for k in range(5)]
    rows += [(None, None, "real", 0, f"p{k}", int(k == 4), 2) for k in range(5)]
    columns = ["attribute", "condition", "source", "seed", "image_id", "class_index", "predicted"]
    path.parent.mkdir(parents=True)
    pd.DataFrame(rows, columns=columns).astype({"seed": "Int64"}).to_parquet(path)


def test_counts_by_class_and_confusion(tmp_path: Path) -> None:
    path = tmp_path / paths.PREDICTIONS
    write(path, {"feasible": [0, 0, 0, 1, 1], "infeasible": [0, 1, 1, 2, 1]})
    (table,) = build_class_tables(read_predictions(path, {}), GRID, ["glider", "jet", "kite"])
    assert (table.first, table.second, table.columns) == ("feasible", "infeasible", ("color, synthetic",))
    # class 0: 75 % against 25 %; class 1: 100 % in both; class 2 has no photo
    assert [(line.name, line.photos, line.points) for line in table.lines] == [
        ("glider", 4, (50.0,)), ("jet", 1, (0.0,)), ("kite", 0, (None,)),
    ]  # fmt: skip
    assert table.largest == 50.0
    assert [(shift.actual, shift.predicted, shift.points) for shift in table.shifts] == [
        ("glider", "jet", -25.0), ("glider", "kite", -25.0),
    ]  # fmt: skip


def test_pairs_need_both_conditions(tmp_path: Path) -> None:
    path = tmp_path / paths.PREDICTIONS
    write(path, {"feasible": [0] * 5})
    assert (
        build_class_tables(
            read_predictions(path, {}), GRID.model_copy(update={"conditions": ["feasible"]}), ["a", "b", "c"]
        )
        == []
    )


def test_of_the_study(finished_study: Path) -> None:
    from varireal.config import load_params

    tables = build_class_tables(
        read_predictions(paths.PREDICTIONS, {}), load_params(finished_study / "params.yaml").grid, ["a", "b"]
    )
    assert [(table.first, table.second) for table in tables] == [
        ("feasible", "infeasible"), ("mixed", "feasible"), ("mixed", "infeasible"),
    ]  # fmt: skip
    assert tables[0].lines[0].points == pytest.approx((3.0,) * 4) and tables[0].lines[0].photos == 400
    assert tables[1].shifts == ()
