"""The best model of a study in MLflow's registry, packed as `varireal export` packs it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from varireal import paths
from varireal.config import ComputeConfig
from varireal.errors import UserError
from varireal.store import content_key
from varireal.tracking.store import CELL, CONTENT, STUDY, open_store
from varireal.tracking.study import study_key

if TYPE_CHECKING:
    from varireal.reporting.results import CellResult, Results, SeedRun
    from varireal.tracking.study import LoggedStudy

SOURCE = "real+synthetic"  # the training source whose models are worth serving
ALIAS = "best"  # names the version of the study that was logged last


def best_run(results: Results) -> tuple[CellResult, SeedRun]:
    """Return the cell of real and synthetic images that is best on val, mean over seeds, and its best seed there.

    Test photos have no say in it. Of equals the first in the order of the grid is taken.

    Raises:
        UserError: the grid has no such cell.
    """
    cells = [cell for cell in results.cells if cell.source == SOURCE]
    if not cells:
        raise UserError(
            f"tracking.register_model asks for the best model of {SOURCE}, which grid.sources does not name; "
            "add it there, or set tracking.register_model to null"
        )
    cell = max(cells, key=lambda each: fmean(run.val_top1 for run in each.runs))
    return cell, max(cell.runs, key=lambda run: run.val_top1)


def register_best(study: LoggedStudy, name: str) -> str:
    """Register the best model of a study that has been logged; return what was registered, in words.

    The model is an artifact of its cell's run; the version in the registry leads there. The same adapter of the same
    run is registered once, however often this is asked.

    Args:
        name: of the registered model; made if it is not there.

    Raises:
        TrackingError: the store cannot be reached, locked or written.
        UserError: there is no such cell, or its adapter is missing or not what it was.
    """
    from varireal.serving.adapter import read_description

    cell, run = best_run(study.results)
    assert cell.attribute is not None and cell.condition is not None  # as every synthetic cell has them
    folder = paths.adapter_folder(cell.attribute, cell.condition) / cell.source / f"seed-{run.seed}"
    adapter = read_description(folder)
    with open_store(study.experiment) as store:
        logged = store.find({STUDY: study_key(study), CELL: f"{cell.name} seed {run.seed}"})[0]
        content = content_key(
            {"run": logged.info.run_id, "adapter": adapter.adapter_sha256, "clip": adapter.clip_weights}
        )
        version = store.find_model(name, content)
        if version is None:
            means = fmean(each.val_top1 for each in cell.runs), run.val_top1
            told = f"{cell.name}, seed {run.seed}: {means[0]:.1f} % on val over all seeds, {means[1]:.1f} % this one."
            with tempfile.TemporaryDirectory() as scratch:
                packed = _pack(folder, Path(scratch))
                tags = {CONTENT: content, "cell": cell.name, "seed": str(run.seed)}
                version = store.add_model(name, logged.info.run_id, packed, told, tags)
        store.name_version(name, ALIAS, version)
    return f"model '{name}', version {version} ({cell.name}, seed {run.seed})"


def _pack(adapter: Path, scratch: Path) -> Path:
    from varireal.serving.adapter import load_merged
    from varireal.serving.export.models import write_mlflow

    clip, description = load_merged(adapter, ComputeConfig(device="cpu"))
    packed, weights = scratch / "model", scratch / "weights"
    packed.mkdir()
    weights.mkdir()
    write_mlflow(packed, clip, description, weights)
    return packed
