"""MLflow's store: opened under a lock, its runs found by tags, made, filled and replaced."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

from varireal.tracking.entries import Entry
from varireal.tracking.notes import experiment_note
from varireal.tracking.trouble import address_problem, deleted, probe, told, without_password
from varireal.tracking.view import ALL_STUDIES, VIEW, cells_view, compared_metrics, studies_view, view_key, view_link

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

logger = logging.getLogger(__name__)

LOCK_SECONDS = 120
ARTIFACTS = "mlartifacts"  # the folder of runs' files beside mlflow.db
STUDY, CELL, CONTENT = "varireal.study", "varireal.cell", "varireal.content"  # tags that find runs again
MODEL = "model"  # folder of a packed model among a run's artifacts
NOTE = "mlflow.note.content"  # the tag that MLflow's pages show as a description, in Markdown


class TrackingError(Exception):
    """MLflow's store could not be used; its message is one line without passwords."""

    def __init__(self, message: str) -> None:
        super().__init__(without_password(message))


@contextlib.contextmanager
def open_store(experiment: str) -> Iterator[MlflowStore]:
    """Yield an experiment of the store, for this process alone.

    The store is ``MLFLOW_TRACKING_URI``, else sqlite in the DVC repository.

    Raises:
        TrackingError: the store cannot be reached, locked or written.
    """
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # a server that is away must not hold the report up
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # a line or two for every run
    os.environ.pop("MLFLOW_RUN_ID", None)  # another run's, inherited from the shell
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    for noisy in ("mlflow", "alembic", "urllib3"):  # after the import, which sets levels of its own
        logging.getLogger(noisy).setLevel(logging.ERROR)
    root = Path(os.environ.get("DVC_ROOT", ".")).resolve()
    try:
        with _locked(root):
            yield MlflowStore(os.environ.get("MLFLOW_TRACKING_URI", "").strip() or None, experiment, root)
    except (MlflowException, SQLAlchemyError, OSError, ImportError) as error:
        raise TrackingError(told(error)) from error


@contextlib.contextmanager
def _locked(root: Path) -> Iterator[None]:
    """Hold a lock, so that one process at a time makes the schema, looks for runs and adds them."""
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


def _own_place(location: str) -> Path | None:
    """Return the folder in which a project of ours keeps files, or None where a location is no such folder."""
    parts = urlsplit(location)
    path = Path(unquote(parts.path))
    return path if parts.scheme == "file" and path.name == ARTIFACTS else None


class MlflowStore:
    """The runs of one MLflow experiment."""

    def __init__(self, server: str | None, experiment: str, root: Path) -> None:
        from mlflow import MlflowClient

        self.uri = server or f"sqlite:///{quote(str(root / 'mlflow.db'))}"  # SQLAlchemy unquotes it
        if server and (problem := address_problem(server)):
            raise TrackingError(problem)
        probe(self.uri)
        self._client: MlflowClient = MlflowClient(self.uri)
        local = None if server else root / ARTIFACTS
        if local is not None:
            self._leave_to(local, experiment)
        existing = self._client.get_experiment_by_name(experiment)
        if existing is not None and existing.lifecycle_stage == "deleted":
            raise TrackingError(deleted(experiment, existing.experiment_id, self.uri))
        self.experiment_id: str = existing.experiment_id if existing is not None else self._begin(experiment, local)
        if not self.experiment_id or (existing is not None and existing.name != experiment):
            raise TrackingError(told(ValueError(f"{self.uri} answers, but it is no MLflow server")))

    def _begin(self, experiment: str, local: Path | None) -> str:
        """Return the id of a new experiment, or of the one that another machine has just made on the server."""
        from mlflow.exceptions import MlflowException

        try:
            made = self._client.create_experiment(experiment, artifact_location=local.as_uri() if local else None)
        except MlflowException:
            found = self._client.get_experiment_by_name(experiment)
            if found is None:
                raise
            return str(found.experiment_id)
        # MLflow's pages show such an experiment's runs first, and not the traces of a language model
        self._client.set_experiment_tag(made, "mlflow.experimentKind", "custom_model_development")
        return str(made)

    def _leave_to(self, local: Path, experiment: str) -> None:
        """Give an experiment another name if its files lie in the project that this one was copied or moved from.

        MLflow keeps their place as an absolute path and for ever.
        """
        found = self._client.get_experiment_by_name(experiment)
        place = _own_place(found.artifact_location) if found is not None else None
        if found is None or place in (None, local):
            return
        name, number = f"{experiment} (of {place.parent})", 1
        while self._client.get_experiment_by_name(name) is not None:
            number += 1
            name = f"{experiment} (of {place.parent}, {number})"
        self._client.rename_experiment(found.experiment_id, name)
        logger.warning(
            "MLflow's experiment '%s' keeps its files in %s, where this project was copied or moved from; it is "
            "now called '%s', and a new one begins here", experiment, place, name,
        )  # fmt: skip

    def find(self, tags: Mapping[str, str]) -> list[Run]:
        """Return the runs that have all these tags."""
        from mlflow.store.tracking import SEARCH_MAX_RESULTS_THRESHOLD

        wanted = " and ".join(f"tags.`{name}` = '{value}'" for name, value in tags.items())
        return list(self._client.search_runs([self.experiment_id], wanted, max_results=SEARCH_MAX_RESULTS_THRESHOLD))

    def create(self, entry: Entry, tags: Mapping[str, str], data: tuple[str, str] | None = None) -> str:
        """Return the id of a new run with everything in it; one that could not be filled ends as FAILED.

        Args:
            data: name and digest of the data set that the run is of.
        """
        from mlflow.entities import Dataset, DatasetInput, InputTag

        run_id: str = self._client.create_run(self.experiment_id, tags=dict(tags), run_name=entry.name).info.run_id
        status = "FAILED"
        try:
            if data is not None:
                source = json.dumps({"uri": "data/prepared"})
                logged = Dataset(*data, source_type="local", source=source)
                self._client.log_inputs(run_id, [DatasetInput(logged, [InputTag("mlflow.data.context", "study")])])
            self.fill(run_id, entry)
            status = "FINISHED"
        finally:
            self._client.set_terminated(run_id, status)
        return run_id

    def fill(self, run_id: str, entry: Entry) -> None:
        """Log an entry's values; the tag with the hash of its content comes last, so that it marks a whole run."""
        from mlflow.entities import Metric, Param, RunTag

        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, 0) for name, value in entry.metrics.items()]
        for look in entry.curve:
            metrics += [Metric(name, value, now, int(look["step"])) for name, value in look.items() if name != "step"]
        params = [Param(name, value) for name, value in entry.params.items()]
        for start in range(0, max(len(metrics), len(params)), 100):  # as many params as one call may hold
            self._client.log_batch(run_id, metrics[start : start + 100], params[start : start + 100])
        if entry.per_class:
            columns = {"class": list(entry.per_class), "top1": list(entry.per_class.values())}
            self._client.log_table(run_id, columns, "per_class.json")
        if entry.settings:
            self.attach_value(run_id, entry.settings, "params.yaml")
        self._client.log_batch(run_id, tags=[RunTag("mlflow.runName", entry.name), RunTag(CONTENT, entry.content)])

    def keep(self, run: Run | None, entry: Entry, tags: Mapping[str, str], data: tuple[str, str] | None = None) -> str:
        """Return the id of the run that holds an entry: the one given if it does, else a new one in its place."""
        if run is not None and run.data.tags.get(CONTENT) == entry.content:
            return str(run.info.run_id)
        if run is not None:
            self.remove(run)
        return self.create(entry, tags, data)

    def attach(self, run_id: str, artifacts: Mapping[str, Path]) -> None:
        """Keep files and whole folders with a run, by the folder they go to there ("" is the top)."""
        for folder, path in artifacts.items():
            log = self._client.log_artifacts if path.is_dir() else self._client.log_artifact
            log(run_id, str(path), folder or None)

    def attach_value(self, run_id: str, value: dict[str, Any], name: str) -> None:
        """Keep a value with a run as a file, in JSON or YAML by its name."""
        self._client.log_dict(run_id, value, name)

    def describe(self, run_id: str, markdown: str) -> None:
        """Set the description that MLflow's page of a run shows."""
        self._client.set_tag(run_id, NOTE, markdown)

    def find_model(self, name: str, content: str) -> str | None:
        """Return the version of a registered model that carries this tag CONTENT, if there is one."""
        for version in self._client.search_model_versions(f"name = '{name}'"):
            if version.tags.get(CONTENT) == content:
                return str(version.version)
        return None

    def add_model(self, name: str, run_id: str, folder: Path, told: str, tags: Mapping[str, str]) -> str:
        """Keep a packed model with a run and register it; return its version.

        Args:
            name: of the registered model, which is made if it is not there.
            told: the version's description.
        """
        self._client.log_artifacts(run_id, str(folder), MODEL)
        self._ensure_model(name)
        source = f"{self._client.get_run(run_id).info.artifact_uri}/{MODEL}"
        return str(self._client.create_model_version(name, source, run_id, dict(tags), description=told).version)

    def _ensure_model(self, name: str) -> None:
        """Make a registered model, unless it is there or another machine has just made it."""
        from mlflow.exceptions import MlflowException

        if not self._client.search_registered_models(f"name = '{name}'"):
            try:
                self._client.create_registered_model(name, description="The best of real and synthetic images, by val.")
            except MlflowException:
                if not self._client.search_registered_models(f"name = '{name}'"):
                    raise

    def name_version(self, name: str, alias: str, version: str) -> None:
        """Set an alias of a registered model to this version."""
        self._client.set_registered_model_alias(name, alias, version)

    def prepare_views(self, study: str, metrics: Sequence[str]) -> None:
        """Keep the prepared comparisons with the experiment: of a study's cells, and of all its studies.

        Args:
            metrics: of the study's run; they join those that earlier studies are compared by.
        """
        before = self._client.get_experiment(self.experiment_id).tags.get(f"{VIEW}{ALL_STUDIES}")
        known = compared_metrics(before) if before else []
        compared = studies_view(list(dict.fromkeys([*known, *metrics])))
        for key, view in ((view_key(study), cells_view(study)), (ALL_STUDIES, compared)):
            self._client.set_experiment_tag(self.experiment_id, f"{VIEW}{key}", view)

    def lead_to(self, name: str, link: str, replaced: str | None = None) -> None:
        """Put a link into the experiment's description, unless somebody else wrote that.

        Args:
            replaced: a link that it takes the place of, beside one to the same place.
        """
        old = self._client.get_experiment(self.experiment_id).tags.get(NOTE)
        studies = view_link(self.experiment_id, ALL_STUDIES)
        if (note := experiment_note(old, studies, name, link, replaced)) is not None:
            self._client.set_experiment_tag(self.experiment_id, NOTE, note)

    def remove(self, run: Run) -> None:
        """Delete a run; MLflow keeps it among the deleted ones until `mlflow gc`."""
        self._client.delete_run(run.info.run_id)
