"""The stages' working folder, for the commands around them; a repository for experiments; an empty store of MLflow."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.stages.conftest import change_params, clip_workspace, workspace, workspace_to_copy
from tests.tiny_repository import end_queue_workers
from tests.tracking.conftest import empty_store

__all__ = ["change_params", "clip_workspace", "empty_store", "repository", "workspace", "workspace_to_copy"]

REPOSITORY = Path(__file__).parents[2]

# of 80 test photos, 60 are answered rightly without infeasible images, 20 fewer with them alone
EVALUATE = """
from pathlib import Path
import pandas as pd
import yaml

params = yaml.safe_load(Path("params.yaml").read_text())
rows = []
for source, condition, share in [("zero-shot", None, 2.0), ("real", None, 0.5)] + [
    ("synthetic", "feasible", 0), ("synthetic", "infeasible", 1), ("synthetic", "mixed", params["mix"]["ratio"])
]:
    for seed in [None] if source == "zero-shot" else params["grid"]["seeds"]:
        for photo in range(80):
            right = photo < 60 - round(20 * share) - (seed or 0)
            rows.append([f"photo-{photo}", source, condition and "color", condition, seed, 0, int(not right)])
columns = ["image_id", "source", "attribute", "condition", "seed", "class_index", "predicted"]
Path("data/predictions").mkdir(parents=True, exist_ok=True)
pd.DataFrame(rows, columns=columns).astype({"seed": "Int64"}).to_parquet("data/predictions/predictions.parquet")
"""
PIPELINE = """
stages:
  evaluate:
    cmd: python evaluate.py
    params: [seed, mix, grid]
    deps: [evaluate.py]
    outs: [data/predictions]
  report:
    cmd: python -c "print('done')"
    deps: [data/predictions]
"""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plugins_of_the_repository: None) -> Iterator[Path]:
    """A repository with DVC, the settings, and a pipeline of two stages that take no time."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # nobody is there
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:/usr/bin:/bin")
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "tester")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "tester@example.org")
    shutil.copytree(REPOSITORY / "conf", "conf")
    shutil.copy(REPOSITORY / "params.yaml", "params.yaml")
    Path("evaluate.py").write_text(EVALUATE)
    Path("dvc.yaml").write_text(PIPELINE)
    Path(".gitignore").write_text("/data/\n/mlflow.db*\n")
    for command in (["git", "init", "-q"], ["dvc", "init", "-q"]):
        subprocess.run(command, check=True)
    shutil.copy(REPOSITORY / ".dvc/config", ".dvc/config")
    shutil.copytree(REPOSITORY / ".dvc/plugins", ".dvc/plugins", ignore=shutil.ignore_patterns("__pycache__"))
    for command in (["git", "add", "-A"], ["git", "commit", "-qm", "start"]):
        subprocess.run(command, check=True)
    yield tmp_path
    end_queue_workers(tmp_path)
