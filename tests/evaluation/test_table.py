from __future__ import annotations

import io
import math
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from varireal.base.manifest import ImageRecord
from varireal.config import GridConfig
from varireal.errors import UserError
from varireal.evaluation.cells import Cell, cells, check_adapters
from varireal.evaluation.predict import prediction_table
from varireal.evaluation.table import confusion_csv, figures, report, table_bytes, with_cell

CLASSES = [f"class {letter}" for letter in "abcdefg"]


def photo(number: int, class_index: int) -> ImageRecord:
    return ImageRecord(f"x/{number}", path="x", origin="photo", split="test", class_name=CLASSES[class_index],
                       class_index=class_index, width=1, height=1, sha256="0", photo_id=f"x/{number}")  # fmt: skip


def hand_made():
    """Four photos of classes 0, 0, 1 and 6: right, second, right, last of seven."""
    logits = torch.zeros(4, 7)
    logits[0, 0] = 5.0
    logits[1, 3], logits[1, 0] = 5.0, 4.0
    logits[2, 1] = 1.0
    logits[3] = torch.arange(7.0, 0.0, -1.0)
    return prediction_table([photo(k, c) for k, c in enumerate((0, 0, 1, 6))], logits)


def test_with_a_sigmoid_a_class_is_probable_by_itself():
    logits = torch.tensor([[2.0, 2.0, -1.0]])
    among = prediction_table([photo(0, 0)], logits)["true_probability"][0].as_py()
    assert among == pytest.approx(1 / (2 + math.exp(-3)))
    alone = prediction_table([photo(0, 0)], logits, sigmoid=True)
    assert alone["true_probability"][0].as_py() == pytest.approx(1 / (1 + math.exp(-2)))
    assert alone["predicted"][0].as_py() == 0


def test_predictions_by_hand():
    rows = hand_made().to_pylist()
    assert [row["predicted"] for row in rows] == [0, 3, 1, 0]
    assert [row["top5_correct"] for row in rows] == [True, True, True, False]
    assert rows[0]["true_probability"] == pytest.approx(2.718281828**5 / (2.718281828**5 + 6))


def test_ties_go_to_the_lower_class_and_few_classes_are_always_among_five():
    table = prediction_table([photo(0, 2), photo(1, 0)], torch.zeros(2, 3)).to_pylist()
    assert [row["predicted"] for row in table] == [0, 0] and all(row["top5_correct"] for row in table)


def test_figures_by_hand():
    found = figures(hand_made(), CLASSES)
    assert found["top1"] == 50.0 and found["top5"] == 75.0
    assert found["per_class"]["class a"] == 50.0 and found["per_class"]["class b"] == 100.0
    assert found["per_class"]["class g"] == 0.0 and found["per_class"]["class c"] is None


def test_top_one_and_five_agree_with_scikit_learn():
    from sklearn.metrics import top_k_accuracy_score

    logits = torch.randn(200, 7, generator=torch.Generator().manual_seed(0))
    truth = torch.randint(0, 7, (200,), generator=torch.Generator().manual_seed(1))
    found = figures(prediction_table([photo(k, int(c)) for k, c in enumerate(truth)], logits), CLASSES)
    for k in (1, 5):
        expected = top_k_accuracy_score(truth.numpy(), logits.numpy(), k=k, labels=range(7))
        assert found[f"top{k}"] == pytest.approx(100 * expected)


def test_the_table_carries_its_cell_and_has_the_same_bytes_every_time():
    table = with_cell(hand_made(), Cell("color", "mixed", "synthetic", 2, Path("x")))
    assert table.column_names[:4] == ["attribute", "condition", "source", "seed"]
    assert table["seed"].to_pylist() == [2] * 4
    again = with_cell(hand_made(), Cell("color", "mixed", "synthetic", 2, Path("x")))
    assert table_bytes(table) == table_bytes(again)
    assert pq.read_table(io.BytesIO(table_bytes(table))).equals(table)
    assert with_cell(hand_made(), Cell(None, None, "zero-shot", None, None)).schema == table.schema


def grid(**changes) -> GridConfig:
    values = {"attributes": ["color"], "feasibilities": ["feasible"], "conditions": ["feasible"],
              "sources": ["synthetic", "real+synthetic"], "seeds": [0, 5]}  # fmt: skip
    return GridConfig(**{**values, **changes})


def test_cells_are_the_baselines_and_the_grid_in_its_order():
    found = [(c.source, c.condition, c.seed, c.adapter and c.adapter.as_posix()) for c in cells(grid())]
    assert found == [
        ("zero-shot", None, None, None),
        ("real", None, 0, "models/adapters/real/seed-0"),
        ("real", None, 5, "models/adapters/real/seed-5"),
        ("synthetic", "feasible", 0, "models/adapters/color_feasible/synthetic/seed-0"),
        ("synthetic", "feasible", 5, "models/adapters/color_feasible/synthetic/seed-5"),
        ("real+synthetic", "feasible", 0, "models/adapters/color_feasible/real+synthetic/seed-0"),
        ("real+synthetic", "feasible", 5, "models/adapters/color_feasible/real+synthetic/seed-5"),
    ]


def test_missing_adapters_are_counted_and_the_first_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"6 of 7 adapters are missing, the first is models/adapters/real/seed-0"):
        check_adapters(cells(grid()))


def test_the_report_has_baselines_cells_and_the_spread_over_seeds():
    results = [(cell, {"top1": 50.0 + 4 * (cell.seed or 0), "top5": 90.0, "per_class": {}}) for cell in cells(grid())]
    found = report(results, images=4)
    assert found["images"] == 4 and found["zero_shot"]["top1"] == 50.0
    assert [entry["seed"] for entry in found["real"]] == [0, 5]
    assert len(found["cells"]) == 4 and found["cells"][1] == {
        "attribute": "color", "condition": "feasible", "source": "synthetic", "seed": 5,
        "top1": 70.0, "top5": 90.0, "per_class": {},
    }  # fmt: skip
    assert found["summary"]["color"]["feasible"]["synthetic"]["top1"]["mean"] == 60.0
    assert found["summary"]["real"]["top1"]["std"] == pytest.approx(200**0.5)


def test_confusion_lists_every_prediction_by_name():
    lines = confusion_csv([hand_made(), hand_made()], CLASSES).decode().splitlines()
    assert lines[0] == "actual,predicted" and len(lines) == 9
    assert lines[2] == "class a,class d"
