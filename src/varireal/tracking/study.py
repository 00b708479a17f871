"""What the stage `report` logs: a parent for the study and a run for every cell and seed below it.

DVC skips stages whose outputs it has, and a skipped stage logs nothing; so the last stage logs the whole table, and a
run that is there already with the same content is left as it is.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from varireal.store import content_key
from varireal.tracking.entries import (
    Entry,
    parent_entry,
    setting_texts,
    study_entries,
    study_settings,
    top1_metrics,
)
from varireal.tracking.notes import study_note
from varireal.tracking.store import CELL, CONTENT, STUDY, open_store
from varireal.tracking.trouble import without_password
from varireal.tracking.view import (
    ALL_STUDIES,
    COLOUR_OF_CONTROLS,
    COLOURS,
    STUDY_COLOURS,
    artifact_link,
    view_key,
    view_link,
)

if TYPE_CHECKING:
    from mlflow.entities import Run

    from varireal.config import Params
    from varireal.reporting.provenance import Provenance
    from varireal.reporting.results import Results
    from varireal.tracking.store import MlflowStore

PARENT = "study"  # value of the tag CELL on the parent
DVC_EXPERIMENT = "varireal.dvc_experiment"  # tag: the name by which DVC knows it
COLOUR = "mlflow.runColor"  # tag: how MLflow's pages draw a run
FIGURE = "figures/strip.png"  # among the artifacts


@dataclasses.dataclass(frozen=True)
class LoggedStudy:
    """All that is logged of a study."""

    params: Params
    dataset: str  # name of the data set, and of MLflow's experiment unless ``tracking.experiment`` says otherwise
    digest: str  # a hash of the data set's content, at most 36 characters
    results: Results
    made: Provenance
    verdicts: Mapping[str, float]  # metrics that tell of the comparisons between cells
    summary: str  # in Markdown
    artifacts: Mapping[str, Path]  # files and folders kept with the parent, by the folder they go to there

    @property
    def experiment(self) -> str:
        """Return the name of MLflow's experiment."""
        return self.params.tracking.experiment or self.dataset

    @property
    def data(self) -> tuple[str, str]:
        """Return name and digest of the data set."""
        return self.dataset, self.digest

    @property
    def parent(self) -> Entry:
        """Return what the parent run holds."""
        return parent_entry(self.made, self.params, self.results, self.verdicts)


def study_key(study: LoggedStudy) -> str:
    """Return what the runs of a study share: its settings, which cannot change within a run, and DVC's name."""
    return content_key({"experiment": study.made.experiment, "params": setting_texts(study_settings(study.params))})


def log_study(study: LoggedStudy, *, anew: bool = False) -> str:
    """Log a study as one parent run with a child per baseline, cell and seed; return where it lies, in words.

    Runs are found again by their tags: the same study updates its runs; another DVC experiment or other settings get a
    parent of their own.

    Args:
        anew: replace also the runs that are there with the same content.

    Raises:
        TrackingError: the store cannot be reached, locked or written.
    """
    params, made, data = study.params, study.made, study.data
    parent, key = study.parent, study_key(study)
    tags = {STUDY: key, "mlflow.source.type": "PROJECT", "mlflow.source.name": "varireal"}
    if made.commit:
        tags["mlflow.source.git.commit"] = made.commit
    with open_store(study.experiment) as store:
        old = {run.data.tags[CELL]: run for run in store.find({STUDY: key})}
        if anew:
            for run in old.values():
                store.remove(run)
            old = {}
        parent_id = _keep_parent(store, old.pop(PARENT, None), study, tags)
        for entry in study_entries(params, study.results):
            below = {**tags, CELL: entry.name, "mlflow.parentRunId": parent_id,
                     COLOUR: COLOURS.get(entry.params["condition"], COLOUR_OF_CONTROLS)}  # fmt: skip
            store.keep(old.get(entry.name), entry, below, data)
        store.attach_value(parent_id, dict(made.data), "outputs.json")
        store.attach(parent_id, study.artifacts)
        store.prepare_views(key, top1_metrics(study.results))
        link = view_link(store.experiment_id, view_key(key))
        studies = view_link(store.experiment_id, ALL_STUDIES)
        drawn = any((folder / FIGURE).is_file() for name, folder in study.artifacts.items() if not name)
        figure = artifact_link(parent_id, FIGURE) if drawn else None
        store.describe(parent_id, study_note(study.summary, link, studies, figure))
        store.lead_to(parent.name, link)
    return f"experiment '{study.experiment}', run '{parent.name}' in {without_password(store.uri)}"


def _keep_parent(store: MlflowStore, old: Run | None, study: LoggedStudy, tags: Mapping[str, str]) -> str:
    """Return the id of the study's run: the one that is there with its content brought up to date, or a new one."""
    parent, experiment = study.parent, study.made.experiment
    if old is not None:
        run_id = str(old.info.run_id)
        if old.data.tags.get(CONTENT) != parent.content:
            store.fill(run_id, parent)
        return run_id
    own = {DVC_EXPERIMENT: experiment} if experiment else {}
    colour = STUDY_COLOURS[len(store.find({CELL: PARENT})) % len(STUDY_COLOURS)]
    return store.create(parent, {**tags, **own, CELL: PARENT, COLOUR: colour}, study.data)
