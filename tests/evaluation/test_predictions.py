"""The one reader of predictions: right answers, confusions, and tables that are refused."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from varireal.config import GridConfig
from varireal.errors import UserError
from varireal.evaluation.comparisons import grid_models, right_answers
from varireal.evaluation.predictions import REAL, ZERO_SHOT, Model, Predictions, read_predictions

GRID = GridConfig(
    attributes=["color"], feasibilities=["feasible", "infeasible"], conditions=["feasible", "infeasible", "mixed"],
    sources=["synthetic"], seeds=[3, 1],
)  # fmt: skip


def read(path: Path) -> Predictions:
    return read_predictions(path, grid_models(GRID))


def predictions() -> pd.DataFrame:
    """Three photos; seed 3 of the feasible cell gets the second wrong, everything else is right."""
    rows = []
    for source, attribute, condition, seeds in [
        ("zero-shot", None, None, [None]),
        ("real", None, None, [1, 3]),
        *(("synthetic", "color", condition, [1, 3]) for condition in GRID.conditions),
    ]:
        for seed in seeds:
            for number in (2, 0, 1):
                wrong = (condition, seed, number) == ("feasible", 3, 1)
                rows.append(
                    {"attribute": attribute, "condition": condition, "source": source, "seed": seed,
                     "image_id": f"x/{number}", "class_index": 4, "predicted": 5 if wrong else 4}
                )  # fmt: skip
    return pd.DataFrame(rows).astype({"seed": "Int64"})


def write(path: Path, table: pd.DataFrame) -> Path:
    table.to_parquet(path)
    return path


def test_answers_are_by_photo_and_seed_of_the_grid(tmp_path: Path) -> None:
    right = right_answers(read(write(tmp_path / "p.parquet", predictions())), GRID)
    assert set(right) == {REAL, ZERO_SHOT, *(Model("synthetic", "color", c) for c in GRID.conditions)}
    assert right[Model("synthetic", "color", "feasible")].tolist() == [[True, True], [False, True], [True, True]]
    assert right[ZERO_SHOT].tolist() == [[True]] * 3


@pytest.mark.parametrize(
    ("drop", "named"),
    [
        ("condition == 'mixed' and seed == 3", "color mixed synthetic, seed 3"),
        ("source == 'zero-shot' and image_id == 'x/0'", "lacks predictions of zero-shot;"),
        ("source == 'real'", "real, seed 3"),
    ],
)
def test_a_lacking_prediction_is_named(tmp_path: Path, drop: str, named: str) -> None:
    table = predictions()
    path = write(tmp_path / "p.parquet", table.drop(table.query(drop).index))
    with pytest.raises(UserError, match=named):
        read(path)


def test_a_missing_or_doubled_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not hold the predictions"):
        read(tmp_path / "none.parquet")
    doubled = write(tmp_path / "p.parquet", pd.concat([predictions(), predictions()]))
    with pytest.raises(UserError, match="does not hold the predictions"):
        read(doubled)


def test_a_photo_of_two_classes_is_refused(tmp_path: Path) -> None:
    table = predictions()
    table.loc[0, "class_index"] = 3
    with pytest.raises(UserError, match="give x/2 two classes"):
        read(write(tmp_path / "p.parquet", table))


def test_confusions_are_counted_over_seeds(tmp_path: Path) -> None:
    matrix = read(write(tmp_path / "p.parquet", predictions())).confusion(
        Model("synthetic", "color", "feasible"), [1, 3], 6
    )
    assert (matrix.shape, matrix.sum(), matrix[4, 4], matrix[4, 5]) == ((6, 6), 6, 5, 1)
