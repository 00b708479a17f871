"""A finished study's verdicts with the settings that made them: of a folder, or of a revision without a checkout."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

from varireal import paths
from varireal.errors import UserError
from varireal.evaluation.predictions import one_line
from varireal.reporting.experiments import open_revision
from varireal.reporting.provenance import flat_settings

LOCK = Path("dvc.lock")
LAST = "report"  # the stage that writes the verdicts, and that depends on all settings


@dataclasses.dataclass(frozen=True)
class Study:
    """What a study found, by the verdicts that `report` wrote."""

    name: str
    told: dict[str, Any]  # metrics/verdicts.json
    settings: dict[str, Any]  # of that very run, by dotted keys, lists whole
    photos: str  # a hash over all photos with their splits and classes


def read_study(name: str, shown: str | None = None) -> Study:
    """Read a study from what git keeps of it, so that DVC's cache need not hold anything.

    Args:
        name: a folder with metrics and dvc.lock in it, or else an experiment of DVC or a git revision.
        shown: what it is called; by default as the user gave it.

    Raises:
        UserError: there is no such folder or revision, it lacks the files, or they are not of one run.
    """
    called, folder = shown or name, Path(name)
    files = None if folder.is_dir() else open_revision(name)
    contents = []
    for path in (paths.VERDICTS, LOCK):
        try:
            contents.append((folder / path).read_bytes() if files is None else files.read_bytes(path.as_posix()))
        except OSError as error:
            raise UserError(
                f"{called} holds no {path} that can be read ({type(error).__name__}); run `dvc repro` there, or name a "
                "folder, a DVC experiment or a git revision of a finished study"
            ) from error
    return parse_study(called, *contents)


def parse_study(name: str, verdicts: bytes, lock: bytes) -> Study:
    """Return the study that the bytes of metrics/verdicts.json and of dvc.lock hold.

    Settings are taken from the lock file: params.yaml may have been changed since.

    Raises:
        UserError: a file is spoilt, or the verdicts are not those that the lock file speaks of.
    """
    import yaml

    try:
        stage = yaml.load(lock, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))["stages"][LAST]
        hashes = {each["path"]: each.get("md5") for each in (*stage["deps"], *stage["outs"])}
        settings = flat_settings(json.loads(json.dumps(stage["params"][paths.PARAMS.as_posix()], default=str)))
        photos, written = (hashes[path.as_posix()] for path in (paths.PHOTOS_MANIFEST, paths.VERDICTS))
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{LOCK} of {name} holds no finished stage {LAST} ({type(error).__name__}: {one_line(error)}); run "
            "`dvc repro` there"
        ) from error
    if hashlib.md5(verdicts, usedforsecurity=False).hexdigest() != written:
        raise UserError(
            f"{paths.VERDICTS} of {name} is not what its {LOCK} says that {LAST} wrote, so its settings are not known; "
            "make both anew with `dvc repro`"
        )
    try:
        return Study(name, json.loads(verdicts), settings, str(photos))
    except ValueError as error:
        raise UserError(f"{paths.VERDICTS} of {name} is no JSON ({error}); make it anew with `dvc repro`") from error
