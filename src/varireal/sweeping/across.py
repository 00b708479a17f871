"""Studies of several classifiers and editors: which there are, and where what they say together goes."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from varireal import paths
from varireal.base.files import atomic_write_bytes, json_bytes, staged_folder
from varireal.errors import UserError
from varireal.reporting.across import Across, as_json, side_by_side
from varireal.reporting.across_drawing import across_figure, across_page
from varireal.reporting.studies import Study, read_study
from varireal.sweeping.experiments import SavedExperiment, finished
from varireal.tracking import TrackingError, log_across

logger = logging.getLogger(__name__)

WORKSPACE = "workspace"  # what DVC calls the working folder
PAGE, PICTURE, FIGURES = "index.html", "across.png", "across.json"


def gather(names: Sequence[str], *, all_commits: bool) -> Across:
    """Read studies and put them side by side.

    Args:
        names: folders, experiments of DVC or git revisions; none: the working folder and the experiments that began at
            the current commit, one study of every classifier and editor.
        all_commits: take the experiments of all commits, where no names are given.

    Raises:
        UserError: a study that was named cannot be read, or fewer than two can be compared.
    """
    if names:
        named = dict.fromkeys(names)  # each once
        studies = [read_study(name, WORKSPACE if name == "." else name) for name in named]
        return side_by_side(studies, one_each=False)
    studies: list[Study] = []
    apart: dict[str, str] = {}
    for rev, name in [(".", WORKSPACE), *((each.rev, each.name) for each in _experiments(all_commits))]:
        try:
            studies.append(read_study(rev, name))
        except UserError as error:
            apart[name] = str(error)
    if not studies:
        told = "; ".join(apart.values())
        raise UserError(f"there is no finished study here ({told}); run `dvc repro`, or name folders or revisions")
    return side_by_side(studies, one_each=True, apart=apart)


def write_across(across: Across) -> None:
    """Write page, picture and figures to the folder across, all or nothing."""
    picture = across_figure(across)
    with staged_folder(paths.ACROSS) as folder:
        atomic_write_bytes(folder / PAGE, across_page(across, picture).encode())
        atomic_write_bytes(folder / PICTURE, picture)
        atomic_write_bytes(folder / FIGURES, json_bytes(as_json(across)))


def track_across(across: Across) -> str | None:
    """Log what was written to MLflow and return where, or warn and return None if MLflow fails."""
    experiment = across.sides[0].study.settings.get("tracking.experiment") or across.dataset
    try:
        return log_across(across, experiment, paths.ACROSS)
    except TrackingError as error:
        logger.warning("MLflow was not used (%s); the page is complete without it", error)
        return None


def _experiments(all_commits: bool) -> list[SavedExperiment]:
    """List DVC's experiments.

    Raises:
        UserError: there is no DVC repository.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        repo = Repo()
    except DvcException as error:
        raise UserError(f"no DVC repository here ({error}); run from the root of the repository") from error
    with repo:
        return finished(repo, all_commits=all_commits)
