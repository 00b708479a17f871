"""How the results were made: the commit, the versions of the packages that decide them, the data's hashes."""

from __future__ import annotations

import dataclasses
import os
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from varireal import paths
from varireal.base.files import read_mapping, read_yaml
from varireal.errors import UserError

PACKAGES = (
    "varireal",
    "torch",
    "diffusers",
    "transformers",
    "open_clip_torch",
    "peft",
    "numpy",
    "pillow",
    "opencv-python-headless",
    "dvc",
)


@dataclasses.dataclass(frozen=True)
class Provenance:
    """What a reader needs to make the same results again."""

    commit: str | None  # None outside a git repository
    changed: bool  # tracked code differs from the commit (params.yaml is shown whole beside it)
    experiment: str | None  # DVC's name of the experiment, if there is one
    versions: dict[str, str]
    data: dict[str, str]  # output of the pipeline -> DVC's hash, as far as dvc.lock has it
    changed_settings: dict[str, Any] = dataclasses.field(default_factory=dict)  # keys unlike the commit's -> values
    committed: str | None = None  # when; the time of the run itself would make the same inputs give other bytes


def provenance(lock: Path = Path("dvc.lock"), params: Path = paths.PARAMS) -> Provenance:
    """Gather the provenance of the results in the working directory."""
    # a run itself changes its metrics, its lock and, as an experiment, params.yaml; what matters is the code
    status = _git(
        "status", "--porcelain", "--untracked-files=no", "--", ".", ":!metrics", ":!dvc.lock", ":!params.yaml"
    )
    return Provenance(
        commit=_git("rev-parse", "HEAD"),
        changed=bool(status),
        experiment=os.environ.get("DVC_EXP_NAME"),
        versions={"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        data=_locked_outputs(lock),
        changed_settings=_changed_settings(params),
        committed=_git("show", "--no-patch", "--format=%cI", "HEAD"),
    )


def read_provenance(path: Path) -> Provenance:
    """Return the provenance that `report` wrote; what a newer version added is left out.

    Raises:
        UserError: the file is missing or of another shape.
    """
    fields = dataclasses.fields(Provenance)
    needed = [field.name for field in fields if field.default is field.default_factory is dataclasses.MISSING]
    held = read_mapping(path, *needed)
    return Provenance(**{field.name: held[field.name] for field in fields if field.name in held})


def _git(*arguments: str) -> str | None:
    """Return what git says, or None where there is no git or no repository."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _locked_outputs(lock: Path) -> dict[str, str]:
    """Return the hashes in dvc.lock; none where it is missing or empty.

    Raises:
        UserError: it is no YAML, as after a merge with conflicts, or of another shape.
    """
    if not lock.is_file():
        return {}
    content = read_yaml(lock) or {}
    try:
        outs = [out for stage in (content.get("stages") or {}).values() for out in stage.get("outs") or []]
        return {out["path"]: out["md5"] for out in sorted(outs, key=lambda out: out["path"]) if "md5" in out}
    except (AttributeError, KeyError, TypeError) as error:
        raise UserError(
            f"{lock} has another shape than DVC writes; take it from git again (git checkout HEAD {lock})"
        ) from error


def flat_settings(section: Mapping[Any, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings by dotted keys, lists whole."""
    flat: dict[str, Any] = {}
    for key, value in section.items():
        path = f"{prefix}{key}"
        flat |= flat_settings(value, f"{path}.") if isinstance(value, dict) else {path: value}
    return flat


def _changed_settings(params: Path) -> dict[str, Any]:
    """Return the settings that differ from those of the commit, by dotted keys; none where either is missing."""
    import yaml

    committed = _git("show", f"HEAD:./{params.as_posix()}")
    if committed is None or not params.is_file():
        return {}
    try:
        texts = [yaml.safe_load(text) for text in (committed, params.read_text(encoding="utf-8"))]
    except yaml.YAMLError:  # the commit's, with a conflict: nothing can be compared with it
        return {}
    if not all(isinstance(text, dict) for text in texts):
        return {}
    before, now = map(flat_settings, texts)
    return {key: value for key, value in sorted(now.items()) if key not in before or before[key] != value}
