"""All that a preview made and found, as tables and as figures."""

from __future__ import annotations

import dataclasses
from typing import Any

from varireal.base.manifest import ImageRecord
from varireal.doctor.findings import Finding
from varireal.previewing.cells import PreviewedCell
from varireal.previewing.probe import Measured
from varireal.previewing.sample import FoundMasks
from varireal.previewing.tables import cells_grid, forecast_grid, networks_grid
from varireal.previewing.warnings import mean_of
from varireal.tables import Grid


@dataclasses.dataclass(frozen=True)
class Preview:
    """All that a preview made and found."""

    dataset: str
    chosen: list[ImageRecord]
    masks: FoundMasks
    cells: list[PreviewedCell]
    chances: list[float | None]  # that mix can be served, by cell
    forecast: list[Finding]
    warnings: list[str]

    def grids(self) -> list[Grid]:
        """Return the tables: cells, networks, forecast."""
        parts: dict[str, Measured] = {"masks": self.masks.measured}
        for cell in self.cells:
            for part, measured in (("priors", cell.drawn), ("edits", cell.painted)):
                parts.setdefault(f"{part}, {cell.attribute}", Measured()).add(measured)
        return [cells_grid(self.cells, self.chances), networks_grid(parts), forecast_grid(self.forecast)]

    def figures(self) -> dict[str, Any]:
        """Return what was found as JSON values."""
        return {
            "photos": [photo.image_id for photo in self.chosen],
            "masks": {"looked_at": len(self.masks.photos), "failed": len(self.masks.failed)},
            "cells": {
                cell.name: {
                    "edits": len(cell.made),
                    "accepted": cell.accepted,
                    "attempts": cell.attempts,
                    **{name: mean_of(cell, name) for name in ("delta_e", "untouched", "lost")},
                    "mix_chance": chance,
                    "networks": {name: dataclasses.asdict(use) for name, use in cell.painted.uses.items()},
                }
                for cell, chance in zip(self.cells, self.chances)
            },
            "forecast": [dataclasses.asdict(finding) for finding in self.forecast],
            "warnings": self.warnings,
        }
