"""What `varireal sweep` logs: one run with the curves, which names the runs of the experiments behind them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from varireal.tracking.entries import sweep_entry, sweep_note
from varireal.tracking.store import CELL, STUDY, open_store
from varireal.tracking.study import DVC_EXPERIMENT, PARENT
from varireal.tracking.view import run_link

if TYPE_CHECKING:
    from varireal.reporting.dose import DoseResponse


def log_sweep(found: DoseResponse, experiment: str, figures: Path, picture: Path) -> str:
    """Log a sweep as one run beside those of its experiments; return where it lies, in words.

    Another sweep of the same study takes the place of the earlier one.

    Args:
        experiment: MLflow's experiment, the one that holds the runs of the sweep's experiments.
        figures: the sweep as JSON.
        picture: the curves as PNG.

    Raises:
        TrackingError: the store cannot be reached, locked or written.
    """
    entry = sweep_entry(found)
    tags = {STUDY: f"sweep {found.study}", CELL: "sweep"}
    with open_store(experiment) as store:
        old = store.find({**tags})
        run_id = store.keep(old[0] if old else None, entry, {**tags, "mlflow.source.name": "varireal sweep"})
        runs = {run.data.tags.get(DVC_EXPERIMENT): run.info.run_id for run in store.find({CELL: PARENT})}
        links = {name: run_link(store.experiment_id, runs[name]) for name in found.experiments if name in runs}
        store.describe(run_id, sweep_note(found, links))
        store.attach(run_id, {"": picture, "figures": figures})
        store.lead_to(entry.name, run_link(store.experiment_id, run_id))
    return f"experiment '{experiment}', run '{entry.name}' in {store.uri}"
