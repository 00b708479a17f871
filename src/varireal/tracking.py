"""MLflow: one run for every cell of the grid, grouped under one parent. The only module that knows MLflow.

DVC skips stages whose outputs it has, and a skipped stage logs nothing; so the last stage logs the whole table, and a
run that is there already with the same content is left as it is.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import textwrap
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from varireal.evaluation.spread import spread
from varireal.work import content_key

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

    from varireal.config import Params
    from varireal.reporting.provenance import Provenance
    from varireal.reporting.results import Cell, Results, SeedRun

LOCK_SECONDS = 120
STUDY, CELL, CONTENT = "varireal.study", "varireal.cell", "varireal.content"  # tags that find runs again
PARENT = "study"  # value of the tag CELL on the parent


class TrackingError(Exception):
    """MLflow's store could not be used; its message is one line."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """What one run holds, as plain values."""

    name: str
    params: dict[str, str]
    metrics: dict[str, float]
    curve: tuple[dict[str, float], ...] = ()  # of val: step and figures
    per_class: dict[str, float | None] = dataclasses.field(default_factory=dict)

    @property
    def content(self) -> str:
        """Return a hash of everything the run holds."""
        return content_key(dataclasses.asdict(self))


def study_entries(params: Params, results: Results) -> list[Entry]:
    """Return a run for zero-shot, and one for every seed of the real-only baseline and of every cell."""
    zero = results.zero_shot
    entries = [
        Entry(
            name="zero-shot",
            params=_cell_params("none", "none", "zero-shot", "none", "none"),
            metrics={"test/top1": zero.top1, "test/top5": zero.top5},
            per_class=zero.per_class,
        )
    ]
    for cell in (results.real, *results.cells):
        entries += [_entry(cell, run, params, results) for run in cell.runs]
    return entries


def parent_entry(name: str, params: Params, results: Results, verdicts: Mapping[str, float]) -> Entry:
    """Return the run of the whole study: every setting, the mean over seeds of every cell, every comparison."""
    metrics = {"zero-shot/top1": results.zero_shot.top1, **verdicts}
    for cell in (results.real, *results.cells):
        path = "/".join(part for part in (cell.attribute, cell.condition, cell.source) if part).replace("+", "-and-")
        over_seeds = spread([run.top1 for run in cell.runs])
        metrics[f"{path}/top1"] = over_seeds.mean
        if over_seeds.std is not None:
            metrics[f"{path}/top1_std"] = over_seeds.std
    return Entry(name=name, params=_flat(params.model_dump(mode="json")), metrics=metrics)


def _entry(cell: Cell, run: SeedRun, params: Params, results: Results) -> Entry:
    metrics = {
        "test/top1": run.top1,
        "test/top5": run.top5,
        "val/best_top1": run.val_top1,
        "best_step": float(run.best_step),
    }
    ratio = "none"
    if cell.attribute is not None and cell.condition is not None:
        ratio = str(next(share for name, share in params.mix.shares.items() if name == cell.condition))
        metrics["synthetic_images"] = float(results.mixes[cell.attribute, cell.condition]["images"])
    return Entry(
        name=f"{cell.name} seed {run.seed}",
        params=_cell_params(cell.attribute or "none", cell.condition or "none", cell.source, ratio, str(run.seed)),
        metrics=metrics,
        curve=run.curve,
        per_class=run.per_class,
    )


def _cell_params(attribute: str, condition: str, source: str, ratio: str, seed: str) -> dict[str, str]:
    return {"attribute": attribute, "condition": condition, "training_source": source, "ratio": ratio, "seed": seed}


def _flat(value: Any, prefix: str = "") -> dict[str, str]:
    """Return nested settings as ``section.key`` -> text, as MLflow holds params."""
    if not isinstance(value, dict):
        return {prefix: value if isinstance(value, str) else json.dumps(value)}
    flat: dict[str, str] = {}
    for key, inner in value.items():
        flat |= _flat(inner, f"{prefix}.{key}" if prefix else str(key))
    return flat


def log_study(
    params: Params,
    dataset: str,
    digest: str,
    results: Results,
    made: Provenance,
    artifacts: dict[str, Path],
    verdicts: Mapping[str, float],
) -> str:
    """Log the study as one parent run with a child per baseline, cell and seed; return where it lies, in words.

    The store is ``MLFLOW_TRACKING_URI``, else sqlite in the DVC repository. Runs are found again by their tags: the
    same study updates its runs; another DVC experiment or other settings get a parent of their own.

    Args:
        dataset: name of the data set, and of the MLflow experiment unless ``tracking.experiment`` says otherwise.
        digest: a hash of the data set's content, at most 36 characters.
        artifacts: files kept with the parent, by the folder they go to there ("" is the top).
        verdicts: metrics of the parent that tell of the comparisons between cells.

    Raises:
        TrackingError: the store cannot be reached, locked or written.
    """
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # a server that is away must not hold the report up
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.pop("MLFLOW_RUN_ID", None)  # another run's, inherited from the shell
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    for noisy in ("mlflow", "alembic", "urllib3"):  # after the import, which sets levels of its own
        logging.getLogger(noisy).setLevel(logging.ERROR)
    root = Path(os.environ.get("DVC_ROOT", ".")).resolve()
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root / 'mlflow.db'}"
    experiment = params.tracking.experiment or dataset
    name = made.experiment or f"settings {content_key(params.model_dump(mode='json'))[:8]}"
    try:
        with _locked(root):
            store = _Store(uri, experiment, root)
            parent = parent_entry(name, params, results, verdicts)
            store.log(parent, study_entries(params, results), dataset, digest, made)
            store.attach(artifacts)
    except (MlflowException, SQLAlchemyError, OSError) as error:
        first_line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise TrackingError(textwrap.shorten(first_line, 160, placeholder=" ...")) from error
    return f"experiment '{experiment}', run '{name}' in {uri}"


@contextlib.contextmanager
def _locked(root: Path) -> Iterator[None]:
    """Let one process at a time make the schema, look for runs and add them."""
    from filelock import FileLock, Timeout

    lock = FileLock(root / "mlflow.db.lock", timeout=LOCK_SECONDS)
    try:
        lock.acquire()
    except Timeout as error:
        raise TrackingError(f"another process held {lock.lock_file} for {LOCK_SECONDS} s") from error
    try:
        yield
    finally:
        lock.release()


class _Store:
    """The runs of one study in one MLflow experiment."""

    def __init__(self, uri: str, experiment: str, root: Path) -> None:
        from mlflow import MlflowClient

        self._client: MlflowClient = MlflowClient(uri)
        found = self._client.get_experiment_by_name(experiment)
        if found is not None:
            self._experiment = found.experiment_id
        else:
            local = None if os.environ.get("MLFLOW_TRACKING_URI") else (root / "mlartifacts").as_uri()
            self._experiment = self._client.create_experiment(experiment, artifact_location=local)
        self._parent = ""

    def log(self, study: Entry, entries: list[Entry], dataset: str, digest: str, made: Provenance) -> None:
        """Log the parent and its children; those that are there with the same content are left as they are."""
        key = content_key({"name": study.name, "params": study.params})  # params cannot change within a run
        found = self._search(f"tags.`{STUDY}` = '{key}'")
        tags = {STUDY: key, "mlflow.source.type": "PROJECT", "mlflow.source.name": "varireal"}
        if made.commit:
            tags["mlflow.source.git.commit"] = made.commit
        old = {run.data.tags[CELL]: run for run in found}
        parent = old.pop(PARENT, None)
        self._parent = parent.info.run_id if parent else self._create(study, {**tags, CELL: PARENT}, dataset, digest)
        if parent and parent.data.tags.get(CONTENT) != study.content:
            self._fill(self._parent, study)
        for entry in entries:
            kept = old.pop(entry.name, None)
            if kept and kept.data.tags.get(CONTENT) == entry.content:
                continue
            if kept:
                self._client.delete_run(kept.info.run_id)
            self._create(entry, {**tags, CELL: entry.name, "mlflow.parentRunId": self._parent}, dataset, digest)
        self._client.log_dict(self._parent, made.data, "outputs.json")

    def attach(self, artifacts: dict[str, Path]) -> None:
        """Keep files with the parent."""
        for folder, path in artifacts.items():
            self._client.log_artifact(self._parent, str(path), folder or None)

    def _search(self, condition: str) -> list[Run]:
        from mlflow.store.tracking import SEARCH_MAX_RESULTS_THRESHOLD

        return list(self._client.search_runs([self._experiment], condition, max_results=SEARCH_MAX_RESULTS_THRESHOLD))

    def _create(self, entry: Entry, tags: dict[str, str], dataset: str, digest: str) -> str:
        """Return the id of a new run with everything in it; one that could not be filled ends as FAILED."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        run_id = self._client.create_run(self._experiment, tags=tags, run_name=entry.name).info.run_id
        try:
            data = Dataset(dataset, digest, source_type="local", source=json.dumps({"uri": "data/prepared"}))
            self._client.log_inputs(run_id, [DatasetInput(data, [InputTag("mlflow.data.context", "study")])])
            self._fill(run_id, entry)
        except BaseException:
            self._client.set_terminated(run_id, "FAILED")
            raise
        self._client.set_terminated(run_id, "FINISHED")
        return run_id

    def _fill(self, run_id: str, entry: Entry) -> None:
        """Log an entry's values; the tag with the hash of its content comes last, so that it marks a whole run."""
        from mlflow.entities import Metric, Param, RunTag

        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, 0) for name, value in entry.metrics.items()]
        for look in entry.curve:
            metrics += [
                Metric(name.replace("_", "/", 1), value, now, int(look["step"]))
                for name, value in look.items()
                if name != "step"
            ]
        params = [Param(name, value) for name, value in entry.params.items()]
        for start in range(0, max(len(metrics), len(params)), 100):  # as many params as one call may hold
            self._client.log_batch(run_id, metrics[start : start + 100], params[start : start + 100])
        if entry.per_class:
            columns = {"class": list(entry.per_class), "top1": list(entry.per_class.values())}
            self._client.log_table(run_id, columns, "per_class.json")
        self._client.log_batch(run_id, tags=[RunTag(CONTENT, entry.content)])
