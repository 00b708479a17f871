"""`varireal across`: which studies it takes, what it writes, prints and logs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.reporting.planted_studies import SETTINGS, lock_of, told

from varireal import paths
from varireal.cli import main
from varireal.errors import UserError
from varireal.reporting.studies import LOCK
from varireal.sweeping.across import FIGURES, PAGE, PICTURE, gather
from varireal.sweeping.experiments import SavedExperiment


def plant(folder: Path, model: str, **changes: object) -> None:
    """Write a study of a classifier: its verdicts and its lock file."""
    verdicts = json.dumps(told(**changes)).encode()
    (folder / paths.VERDICTS).parent.mkdir(parents=True)
    (folder / paths.VERDICTS).write_bytes(verdicts)
    (folder / LOCK).write_bytes(lock_of(verdicts, {**SETTINGS, "clip": {"model": model, "pretrained": None}}))


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder with a study, and beside it folders with two of other classifiers and one without."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    plant(tmp_path, "ViT-B-16")
    plant(tmp_path / "probe", "dinov3")
    plant(tmp_path / "wide", "siglip2", margin=1.0)
    (tmp_path / "empty").mkdir()
    return tmp_path


def test_studies_are_printed_written_and_logged(folders: Path, empty_store: Path) -> None:
    from mlflow import MlflowClient

    shutil.copy(empty_store, "mlflow.db")
    for _ in range(2):  # the second view takes the place of the first
        done = CliRunner().invoke(main, ["across", ".", "probe", "wide"], catch_exceptions=False)
        assert done.exit_code == 0
    assert "By less than 4.2 points in all 24 comparisons of all 2 studies (95 %)" in done.output
    assert "Set apart: wide, judged by another margin, ±1" in done.output
    figures = json.loads((paths.ACROSS / FIGURES).read_text())
    assert [each["name"] for each in figures["studies"]] == ["workspace", "probe"]
    assert (paths.ACROSS / PICTURE).read_bytes().startswith(b"\x89PNG")
    assert "dinov3 × sdxl-inpainting" in (paths.ACROSS / PAGE).read_text()

    client = MlflowClient(f"sqlite:///{folders}/mlflow.db")
    experiment = client.get_experiment_by_name("oxford_pets")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.data.metrics["bound"] == 4.2
    assert run.data.metrics["2-probe/background/real-and-synthetic/points"] == -0.4
    assert run.data.params["2-probe"] == "dinov3 × sdxl-inpainting"
    assert {file.path for file in client.list_artifacts(run.info.run_id)} == {PAGE, PICTURE, FIGURES}
    assert "Does feasibility matter?" in run.data.tags["mlflow.note.content"]


def test_a_named_study_that_cannot_be_read_ends_the_command_before_anything_is_written(folders: Path) -> None:
    with pytest.raises(UserError, match=r"empty holds no metrics/verdicts\.json"):
        gather([".", "probe", "empty"], all_commits=False)
    assert not paths.ACROSS.exists()


def test_without_names_the_workspace_and_the_experiments_are_taken(
    folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def experiments(all_commits: bool) -> list[SavedExperiment]:
        asked.append(all_commits)
        return [SavedExperiment("again", "."), SavedExperiment("broken", "empty"), SavedExperiment("dino", "probe")]

    monkeypatch.setattr("varireal.sweeping.across._experiments", experiments)
    across = gather([], all_commits=True)
    assert [side.study.name for side in across.sides] == ["workspace", "dino"]
    assert across.left == {"again": "workspace"} and asked == [True]
    assert across.apart["broken"].startswith("broken holds no metrics/verdicts.json that can be read")


def test_a_folder_without_any_study_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("varireal.sweeping.across._experiments", lambda all_commits: [])
    with pytest.raises(UserError, match=r"there is no finished study here \(workspace holds no .* run `dvc repro`"):
        gather([], all_commits=False)


def test_a_folder_without_dvc_is_one_line(folders: Path) -> None:
    with pytest.raises(UserError, match=r"no DVC repository here \(.*run from the root of the repository"):
        gather([], all_commits=False)
