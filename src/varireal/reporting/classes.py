"""Which classes lose or gain between conditions, and which confusions come and go, from the stored predictions."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from varireal.config import GridConfig
from varireal.evaluation.comparisons import PAIRS
from varireal.evaluation.predictions import Model, Predictions

if TYPE_CHECKING:
    import numpy as np

MOST_SHIFTS = 8  # confusions named per pair of conditions


@dataclasses.dataclass(frozen=True)
class ClassLine:
    """One class: photos in test, and the difference of its top-1 in points for each column (None: no photo)."""

    name: str
    photos: int
    points: tuple[float | None, ...]


@dataclasses.dataclass(frozen=True)
class Shift:
    """A confusion that one condition makes more often than the other, in points of the actual class's photos."""

    where: str
    actual: str
    predicted: str
    points: float


@dataclasses.dataclass(frozen=True)
class ClassTable:
    """Two conditions, class by class: first minus second."""

    first: str
    second: str
    columns: tuple[str, ...]  # attribute and training source
    lines: tuple[ClassLine, ...]
    shifts: tuple[Shift, ...]  # the largest, by size
    largest: float  # size of the largest difference of a class, for the colours


def build_class_tables(predictions: Predictions, grid: GridConfig, classes: Sequence[str]) -> list[ClassTable]:
    """Return a table for every pair of conditions of the grid.

    Args:
        predictions: of all cells of the grid.
        classes: class names, by class_index.
    """
    import numpy as np

    def shares(attribute: str, condition: str, source: str) -> np.ndarray:
        """Return a cell's confusion matrix in percent of the actual class's answers."""
        matrix = predictions.confusion(Model(source, attribute, condition), grid.seeds, len(classes))
        return 100 * matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)

    photos = np.bincount(predictions.labels, minlength=len(classes)).tolist()
    tables = []
    for first, second in PAIRS:
        if first not in grid.conditions or second not in grid.conditions:
            continue
        cells = list(itertools.product(grid.attributes, grid.sources))
        changes = [shares(a, first, source) - shares(a, second, source) for a, source in cells]
        columns = tuple(f"{attribute}, {source}" for attribute, source in cells)
        tables.append(_table(first, second, columns, changes, photos, classes))
    return tables


def _table(
    first: str,
    second: str,
    columns: tuple[str, ...],
    changes: Sequence[np.ndarray],
    photos: Sequence[int],
    classes: Sequence[str],
) -> ClassTable:
    lines = tuple(
        ClassLine(name, photos[k], tuple(float(change[k, k]) if photos[k] else None for change in changes))
        for k, name in enumerate(classes)
    )
    shifts = [
        Shift(column, classes[actual], classes[predicted], float(change[actual, predicted]))
        for column, change in zip(columns, changes)
        for actual, predicted in itertools.permutations(range(len(classes)), 2)
        if change[actual, predicted]
    ]
    shifts.sort(key=lambda shift: (-abs(shift.points), shift.where, shift.actual, shift.predicted))
    largest = max((abs(value) for line in lines for value in line.points if value is not None), default=0.0)
    return ClassTable(first, second, columns, lines, tuple(shifts[:MOST_SHIFTS]), largest)
