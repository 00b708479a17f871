"""The models that are evaluated: listed from the grid, never found by looking into folders, which may hold old ones."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Literal

from varireal import paths
from varireal.base.manifest import Attribute
from varireal.config import GridConfig
from varireal.errors import UserError
from varireal.training.plan import ADAPTER_FILES, adapter_path

EvaluatedSource = Literal["zero-shot", "real", "synthetic", "real+synthetic"]


@dataclasses.dataclass(frozen=True)
class Cell:
    """One model: CLIP as it came, a real-only baseline, or one fine-tuning of the grid."""

    attribute: Attribute | None  # None for the baselines
    condition: str | None  # or the name of a control
    source: EvaluatedSource
    seed: int | None  # None for zero-shot
    adapter: Path | None  # its folder; None for zero-shot


def cells(grid: GridConfig) -> list[Cell]:
    """Return zero-shot if it is tested, the real-only baselines, then grid and controls in the order of params.yaml."""
    listed = [Cell(None, None, "zero-shot", None, None)] if grid.zero_shot else []
    listed += [Cell(None, None, "real", seed, adapter_path(paths.REAL_ADAPTERS, "real", seed)) for seed in grid.seeds]
    for attribute, condition in [*itertools.product(grid.attributes, grid.conditions), *grid.control_cells()]:
        folder = paths.adapter_folder(attribute, condition)
        listed += [
            Cell(attribute, condition, source, seed, adapter_path(folder, source, seed))
            for source in grid.sources
            for seed in grid.seeds
        ]
    return listed


def check_adapters(evaluated: list[Cell]) -> None:
    """Check that every adapter is there, before anything slow begins.

    Raises:
        UserError: adapters are missing; the first is named, and how many there are.
    """
    missing = [
        cell for cell in evaluated if cell.adapter and not all((cell.adapter / n).is_file() for n in ADAPTER_FILES)
    ]
    if missing:
        raise UserError(
            f"{len(missing)} of {len(evaluated)} adapters are missing, the first is {missing[0].adapter}; "
            "run the train stages (dvc repro)"
        )
