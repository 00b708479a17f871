"""Predicts the test split with every model of the grid, and writes what `evaluate` puts out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from varireal import paths
from varireal.base.files import atomic_write_bytes, write_json
from varireal.compute.missing import finish, missing_pieces
from varireal.config import Params
from varireal.evaluation.anchors import Gate, zero_shot_gate
from varireal.evaluation.cells import Cell, cells, check_adapters
from varireal.evaluation.plan import PREDICTIONS, plan_predictions, read_test_split
from varireal.evaluation.predict import NETWORK_MODULES, PredictionWorker
from varireal.evaluation.table import confusion_csv, figures, report, table_bytes, with_cell
from varireal.store import FolderStore

CONFUSION_REAL = paths.METRICS / "plots" / "confusion.csv"
CONFUSION_ZERO_SHOT = paths.METRICS / "plots" / "confusion_zero_shot.csv"


def predict(params: Params, info: dict[str, Any]) -> tuple[list[tuple[Cell, pa.Table]], Gate | None]:
    """Return every model's predictions, and zero-shot CLIP against its known accuracy; what is kept is not done again.

    Args:
        info: what data/prepared/dataset.json holds.

    Raises:
        UserError: an adapter, CLIP or a photo is missing or cannot be read, or the disk is full.
        Interrupted: a signal asked to end; finished predictions are kept.
    """
    evaluated = cells(params.grid)
    check_adapters(evaluated)
    test = read_test_split(params, info)
    plan = plan_predictions(test, evaluated)
    store = FolderStore("evaluate")
    gate = zero_shot_gate(params, test, info["classes"], store)
    missing = missing_pieces(plan, store, "%d of %d models to predict with")
    finish(
        missing,
        store,
        lambda compute: PredictionWorker(test, compute, store.root),
        params.compute,
        NETWORK_MODULES,
        "evaluate",
    )
    tables = [pq.read_table(store.require(item.key).path / PREDICTIONS) for item in plan]
    return list(zip(evaluated, tables)), gate


def write_evaluation(predicted: Sequence[tuple[Cell, pa.Table]], gate: Gate | None, classes: Sequence[str]) -> None:
    """Write all predictions, the confusion tables and metrics/evaluate.json."""
    everything = pa.concat_tables([with_cell(table, cell) for cell, table in predicted])
    atomic_write_bytes(paths.PREDICTIONS, table_bytes(everything))
    for source, path in (("real", CONFUSION_REAL), ("zero-shot", CONFUSION_ZERO_SHOT)):
        atomic_write_bytes(path, confusion_csv([table for cell, table in predicted if cell.source == source], classes))
    metrics = report([(cell, figures(table, classes)) for cell, table in predicted], len(predicted[0][1]))
    if gate is not None:
        metrics["zero_shot"]["anchor"] = gate.as_json()
    write_json(paths.METRICS / "evaluate.json", metrics)
