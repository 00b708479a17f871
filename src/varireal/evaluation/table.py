"""Predictions per image as Parquet tables, and the figures made from them."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from varireal.evaluation.statistics import spread

if TYPE_CHECKING:
    import pyarrow as pa

    from varireal.evaluation.cells import Cell

CELL_COLUMNS = ("attribute", "condition", "source", "seed")


def table_bytes(table: pa.Table) -> bytes:
    """Return a table as Parquet; the same table gives the same bytes."""
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def with_cell(table: pa.Table, cell: Cell) -> pa.Table:
    """Return the predictions of one model with the columns that say which model it was."""
    import pyarrow as pa

    for position, name in enumerate(CELL_COLUMNS):
        kind = pa.int64() if name == "seed" else pa.string()
        table = table.add_column(position, pa.field(name, kind), pa.array([getattr(cell, name)] * len(table), kind))
    return table


def figures(predictions: pa.Table, classes: Sequence[str]) -> dict[str, Any]:
    """Return top-1 and top-5 accuracy over all images, and top-1 per class, in percent.

    Args:
        predictions: of one model; columns class_index, predicted and top5_correct.
    """
    import numpy as np

    truth = predictions["class_index"].to_numpy()
    correct = predictions["predicted"].to_numpy() == truth
    return {
        "top1": 100 * float(correct.mean()),
        "top5": 100 * float(np.mean(predictions["top5_correct"].to_numpy(zero_copy_only=False))),
        "per_class": {
            name: 100 * float(correct[truth == index].mean()) if (truth == index).any() else None
            for index, name in enumerate(classes)
        },
    }


def report(results: Sequence[tuple[Cell, dict[str, Any]]], images: int) -> dict[str, Any]:
    """Return the metrics file: baselines, every cell, and the spread of top-1 and top-5 over seeds.

    ``summary`` holds numbers in nested mappings, as DVC flattens them:
    ``summary.<attribute>.<condition>.<source>.top1.mean`` and so on.
    """
    metrics: dict[str, Any] = {"images": images, "zero_shot": None, "real": [], "cells": [], "summary": {}}
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for cell, accuracy in results:
        if cell.source == "zero-shot":
            metrics["zero_shot"] = accuracy
            continue
        if cell.source == "real":
            metrics["real"].append({"seed": cell.seed, **accuracy})
        else:
            metrics["cells"].append({name: getattr(cell, name) for name in CELL_COLUMNS} | accuracy)
        groups.setdefault(tuple(filter(None, (cell.attribute, cell.condition, cell.source))), []).append(accuracy)
    for names, group in groups.items():
        branch = metrics["summary"]
        for name in names:
            branch = branch.setdefault(name, {})
        for figure in ("top1", "top5"):
            branch[figure] = dataclasses.asdict(spread([accuracy[figure] for accuracy in group]))
    return metrics


def confusion_csv(tables: Sequence[pa.Table], classes: Sequence[str]) -> bytes:
    """Return the actual and the predicted class name of every prediction, for DVC's confusion plot."""
    import csv

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("actual", "predicted"))
    for table in tables:
        pairs = zip(table["class_index"].to_pylist(), table["predicted"].to_pylist())
        writer.writerows((classes[actual], classes[predicted]) for actual, predicted in pairs)
    return text.getvalue().encode()
