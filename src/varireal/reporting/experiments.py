"""A finished experiment's predictions and settings: from a folder, a file, or a revision that DVC has in its cache."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from varireal import paths
from varireal.errors import UserError
from varireal.evaluation.predictions import UNREADABLE, Predictions, one_line, parse_predictions
from varireal.reporting.provenance import flat_settings

if TYPE_CHECKING:
    from dvc.api import DVCFileSystem


@dataclasses.dataclass(frozen=True)
class Experiment:
    """What an experiment predicted for its test photos, and how it was set."""

    name: str  # as the user gave it
    predictions: Predictions
    settings: dict[str, Any] | None  # params.yaml by dotted keys, lists whole; None where it is not known


def read_experiment(name: str) -> Experiment:
    """Read an experiment by its name.

    Args:
        name: a folder with data/predictions/predictions.parquet below it, such a file, or else an experiment of DVC
            or a git revision of the repository that the current folder belongs to.

    Raises:
        UserError: there is no such folder, file or revision, the cache lacks its predictions, or they are unreadable,
            or do not hold every photo once for every model.
    """
    path = Path(name)
    if path.is_file():
        is_usual = path.resolve().as_posix().endswith(f"/{paths.PREDICTIONS.as_posix()}")
        params = path.resolve().parents[2] / paths.PARAMS if is_usual else None
        return _from_files(name, path, params)
    if path.is_dir():
        if not (path / paths.PREDICTIONS).is_file():
            raise UserError(
                f"the folder {name} holds no {paths.PREDICTIONS}; run `dvc repro evaluate` or `dvc checkout` there, "
                "or name a folder, a file, a DVC experiment or a git revision that has predictions"
            )
        return _from_files(name, path / paths.PREDICTIONS, path / paths.PARAMS)
    return _from_revision(name)


def _from_files(name: str, predictions: Path, params: Path | None) -> Experiment:
    try:
        settings = params.read_bytes() if params is not None and params.is_file() else None
        return parse_experiment(name, predictions.read_bytes(), settings)
    except OSError as error:
        raise UserError(f"cannot read {predictions}: {error.strerror}; check its permissions") from error


def open_revision(name: str) -> DVCFileSystem:
    """Return the files of an experiment of DVC or of a git revision, with those that DVC's cache holds.

    Raises:
        UserError: there is no such experiment or revision.
    """
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException
    from dvc.scm import SCMError

    try:
        files = DVCFileSystem(rev=name)
        files.repo  # noqa: B018 - looks the revision up
    except (DvcException, SCMError) as error:
        raise UserError(
            f"{name} is no folder, no file, no DVC experiment and no git revision here ({one_line(error)}); "
            "`dvc exp show` and `git tag` list what there is"
        ) from error
    return files


def _from_revision(name: str) -> Experiment:
    from dvc.repo.data import DataIndexDirError

    predictions, params = paths.PREDICTIONS.as_posix(), paths.PARAMS.as_posix()
    files = open_revision(name)
    known = False
    try:
        files.info(predictions)
        known = True
        content = cast(bytes, files.read_bytes(predictions))
    except (OSError, DataIndexDirError) as error:  # the latter where not even the folder's list of files is here
        if not known and isinstance(error, FileNotFoundError):
            raise UserError(f"the revision {name} has no {predictions} in its dvc.lock; choose one that has") from error
        raise UserError(
            f"DVC's cache lacks the predictions of {name} ({one_line(error)}); get them with `dvc pull`, "
            f"or make them anew: `dvc exp apply {name}`, `dvc repro`"
        ) from error
    return parse_experiment(name, content, cast(bytes, files.read_bytes(params)) if files.isfile(params) else None)


def parse_experiment(name: str, predictions: bytes, params: bytes | None) -> Experiment:
    """Return the experiment that the bytes of predictions.parquet and of params.yaml hold.

    Raises:
        UserError: as for :func:`read_experiment`.
    """
    try:
        parsed = parse_predictions(predictions, name)
    except UNREADABLE as error:
        raise UserError(f"the predictions of {name} cannot be read ({one_line(error)}); make them anew") from error
    if len(parsed.photos) < 2:
        raise UserError(f"the predictions of {name} are of {len(parsed.photos)} photos, two are the least to compare")
    for (model, seed), photo in parsed.gaps.items():
        raise UserError(f"{name} lacks predictions of {model.with_seed(seed)} for {photo}; make them anew")
    return Experiment(name, parsed, None if params is None else _settings(name, params))


def _settings(name: str, params: bytes) -> dict[str, Any]:
    import yaml

    try:
        raw = yaml.safe_load(params)
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"params.yaml of {name} is not valid YAML: {one_line(error)}") from error
    if not isinstance(raw, dict):
        raise UserError(f"params.yaml of {name} must hold sections, found {type(raw).__name__}")
    return flat_settings(json.loads(json.dumps(raw, default=str)))  # YAML also knows dates
