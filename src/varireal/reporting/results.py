"""What the stages measured, gathered by the cells that the grid names: never by what lies in a folder."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from varireal import paths
from varireal.base.files import read_mapping
from varireal.base.manifest import ATTRIBUTES, CONDITIONS, FEASIBILITIES
from varireal.config import GridConfig
from varireal.config.controls import is_control
from varireal.errors import UserError


@dataclasses.dataclass(frozen=True)
class SeedRun:
    """One fine-tuning, measured on val and test. Accuracies are percent."""

    seed: int
    top1: float
    top5: float
    per_class: dict[str, float | None]  # class name -> top-1; None: no test photo
    val_top1: float
    best_step: int
    curve: tuple[dict[str, float], ...]  # looks at val: step, train_loss, val_loss, val_top1


@dataclasses.dataclass(frozen=True)
class CellResult:
    """One cell of the study: an attribute, a condition and a training source; the first two are None for real-only."""

    attribute: str | None
    condition: str | None
    source: str  # real, synthetic or real+synthetic
    runs: tuple[SeedRun, ...]  # one per seed of the grid, in its order

    @property
    def name(self) -> str:
        """Return the cell's readable name, such as ``color feasible synthetic`` or ``real``."""
        return " ".join(part for part in (self.attribute, self.condition, self.source) if part)


@dataclasses.dataclass(frozen=True)
class ZeroShot:
    """CLIP as it was loaded, on the test split. Accuracies are percent."""

    top1: float
    top5: float
    per_class: dict[str, float | None]
    anchor: dict[str, Any] | None = None  # expected, found, tolerance, passed: where an accuracy was known beforehand


@dataclasses.dataclass(frozen=True)
class Results:
    """All that was measured on the grid."""

    zero_shot: ZeroShot | None  # None: the classifier knows no class by its name
    real: CellResult
    cells: tuple[CellResult, ...]  # in the order of the grid: attribute, condition, source
    controls: tuple[CellResult, ...]  # as the cells: the control's name in the condition's place
    segment: dict[str, Any]
    edits: dict[tuple[str, str], dict[str, Any]]  # (attribute, feasibility) -> metrics of its edits
    mixes: dict[tuple[str, str], dict[str, Any]]  # (attribute, condition or control) -> metrics of its training set
    measured: dict[tuple[str, str], dict[str, Any]]  # (attribute, feasibility) -> figures of its edits
    photos: dict[str, Any]  # the same figures of the real photos, as far as they have them


def read_results(grid: GridConfig, folder: Path = paths.METRICS) -> Results:
    """Gather the metrics files below ``folder`` for every cell of the grid.

    Raises:
        UserError: a file is missing or does not hold a cell that the grid names.
    """
    try:
        return _read_results(grid, folder)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise UserError(
            f"a file below {folder} has another shape than its stage writes ({type(error).__name__}: {error}); make it "
            "anew with dvc repro"
        ) from error


def _read_results(grid: GridConfig, folder: Path) -> Results:
    evaluate = folder / "evaluate.json"
    tested = read_mapping(evaluate, "cells", "real", "zero_shot")
    rows = {(row["attribute"], row["condition"], row["source"], row["seed"]): row for row in tested["cells"]}
    rows |= {(None, None, "real", row["seed"]): row for row in tested["real"]}

    def cell(
        attribute: str | None, condition: str | None, source: str, trained: dict[str, Any], path: Path
    ) -> CellResult:
        on_val = {(run["source"], run["seed"]): run for run in trained["runs"]}
        runs = []
        for seed in grid.seeds:
            row, run = rows.get((attribute, condition, source, seed)), on_val.get((source, seed))
            if row is None or run is None:
                lacking = evaluate if row is None else path
                wanted = " ".join(part for part in (attribute, condition, source) if part)
                raise UserError(f"{lacking} holds no result of {wanted}, seed {seed}; make it anew with dvc repro")
            runs.append(_seed_run(seed, row, run))
        return CellResult(attribute, condition, source, tuple(runs))

    path = folder / "train" / "real.json"
    real = cell(None, None, "real", read_mapping(path, "runs"), path)

    def trained_on(mixes: Sequence[tuple[str, str]]) -> Iterator[CellResult]:
        for attribute, condition in mixes:
            path = folder / "train" / f"{attribute}_{condition}.json"
            trained = read_mapping(path, "runs")
            yield from (cell(attribute, condition, source, trained, path) for source in grid.sources)

    named = list(itertools.product(grid.attributes, grid.conditions))
    mixed = {
        attribute: read_mapping(paths.mixes_figures(attribute, folder), *grid.mixes(attribute))
        for attribute in grid.attributes
    }
    measured = read_mapping(folder / paths.MEASURED.name, "cells", "real")
    return Results(
        zero_shot=None if not grid.zero_shot else _zero_shot(tested["zero_shot"]),
        real=real,
        cells=tuple(trained_on(named)),
        controls=tuple(trained_on(grid.control_cells())),
        segment=read_mapping(folder / "segment.json"),
        edits=_by_cell(folder / "edit", list(itertools.product(grid.attributes, grid.feasibilities))),
        mixes={(attribute, name): mixed[attribute][name] for attribute, name in [*named, *grid.control_cells()]},
        measured=_measured(measured, grid, folder / paths.MEASURED.name),
        photos=measured["real"],
    )


def left_metrics(grid: GridConfig, folder: Path = paths.METRICS) -> list[Path]:
    """Return the metrics files of cells and controls that the grid does not name, which an earlier, larger grid left.

    They are of no stage of this grid, so DVC keeps them, and would commit them with an experiment on a part of it.
    """
    rooms = (("edit", FEASIBILITIES, grid.feasibilities), ("train", CONDITIONS, grid.conditions))
    found = []
    for room, known, named in rooms:
        for attribute, other in itertools.product(ATTRIBUTES, known):
            path = folder / room / f"{attribute}_{other}.json"
            if path.is_file() and not (attribute in grid.attributes and other in named):
                found.append(path)
    for attribute in ATTRIBUTES:
        path = paths.mixes_figures(attribute, folder)
        if path.is_file() and attribute not in grid.attributes:
            found.append(path)
    for path in sorted((folder / "train").glob("*.json")):
        attribute, _, name = path.stem.partition("_")
        if attribute in ATTRIBUTES and is_control(name) and (attribute, name) not in grid.control_cells():
            found.append(path)
    return found


def _seed_run(seed: int, row: dict[str, Any], run: dict[str, Any]) -> SeedRun:
    return SeedRun(
        seed=seed,
        top1=row["top1"],
        top5=row["top5"],
        per_class=row["per_class"],
        val_top1=run["val_top1"],
        best_step=run["best_step"],
        curve=tuple(run["curve"]),
    )


def _zero_shot(tested: dict[str, Any]) -> ZeroShot:
    return ZeroShot(tested["top1"], tested["top5"], tested["per_class"], tested.get("anchor"))


def _measured(measured: dict[str, Any], grid: GridConfig, path: Path) -> dict[tuple[str, str], dict[str, Any]]:
    cells = {}
    for attribute in grid.attributes:
        for feasibility in grid.feasibilities:
            figures = measured["cells"].get(attribute, {}).get(feasibility)
            if figures is None:
                raise UserError(
                    f"{path} holds nothing of {attribute} {feasibility}; make it anew with dvc repro measure"
                )
            cells[attribute, feasibility] = figures
    return cells


def _by_cell(folder: Path, named: Sequence[tuple[str, str]]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(attribute, other): read_mapping(folder / f"{attribute}_{other}.json") for attribute, other in named}
