"""Which of the experiments that are wanted exists already: the same settings, and the same code and inputs as now."""

from __future__ import annotations

import dataclasses
import itertools
import subprocess
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from varireal import paths

if TYPE_CHECKING:
    from dvc.repo import Repo

    from varireal.config import Params

LAST = "report"  # the stage that makes no predictions: its code may have changed since
WITHOUT_EFFECT = {"report", "settle", "tracking", "watch"}  # sections that no prediction depends on


@dataclasses.dataclass(frozen=True)
class SavedExperiment:
    """An experiment that the repository holds, finished or in the queue."""

    name: str
    rev: str  # of the commit, or of the stash where it is still in the queue


def finished(repo: Repo, *, all_commits: bool = True) -> list[SavedExperiment]:
    """List the finished experiments of all commits, or of the current one alone, sorted by name."""
    by_baseline: dict[str, list[tuple[str, str]]] = repo.experiments.ls(all_commits=all_commits)
    names_and_revs = sorted(itertools.chain.from_iterable(by_baseline.values()))
    return [SavedExperiment(name, rev) for name, rev in names_and_revs]


def same_as_now(
    candidates: Iterable[SavedExperiment], params: Params, pipeline: dict[str, Any]
) -> list[SavedExperiment]:
    """Select the candidates with these settings whose code and inputs are those of the working directory.

    Args:
        params: the settings looked for; sections that no prediction depends on are not compared.
        pipeline: dvc.yaml as read.
    """
    wanted = _deciding(params)
    watched = _watched(pipeline)
    return [
        experiment
        for experiment in candidates
        if (settings := _settings(experiment.rev)) is not None
        and _deciding(settings) == wanted
        and _git("diff", "--quiet", experiment.rev, "--", *watched).returncode == 0
    ]


def free_name(name: str, taken: Iterable[str]) -> str:
    """Return ``name``, or the first of ``name-2``, ``name-3``... that is not taken."""
    taken = set(taken)
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}-{number}"
    return free


def _watched(pipeline: dict[str, Any]) -> list[str]:
    """Return the files and folders that predictions depend on, as far as git keeps them: code, weights, banks."""
    stages: dict[str, Any] = pipeline["stages"]
    written = [dep for name, stage in stages.items() if name != LAST for dep in stage.get("deps", [])]
    # what params.yaml names (${watch...}, ${prompt.bank}) lies in these folders, or the settings differ
    return sorted({path for path in written if "${" not in path} | {"dvc.yaml", "data/banks", "models"})


def _settings(rev: str) -> Params | None:
    """Return the settings of a commit, or None where they are missing or of another version of the project."""
    import yaml
    from pydantic import ValidationError

    from varireal.config import Params

    shown = _git("show", f"{rev}:{paths.PARAMS.as_posix()}")
    try:
        return Params.model_validate(yaml.safe_load(shown.stdout)) if shown.returncode == 0 else None
    except (ValidationError, yaml.YAMLError):
        return None


def _deciding(params: Params) -> dict[str, Any]:
    return params.model_dump(mode="json", exclude=WITHOUT_EFFECT)


def _git(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
