"""`varireal sweep` with DVC's real queue, in a repository whose stages take no time."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from varireal.cli import main
from varireal.errors import UserError

REPOSITORY = Path(__file__).parents[2]

# of 80 test photos, 60 are answered rightly without infeasible images, 20 fewer with them alone
EVALUATE = """
import sys
from pathlib import Path
import pandas as pd
import yaml

params = yaml.safe_load(Path("params.yaml").read_text())
if params["seed"] == 13:
    sys.exit("the network does not like 13")
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
SMALL = ["-S", "grid.attributes=[color]", "-S", "grid.sources=[synthetic]", "-S", "grid.seeds=[0,1]"]


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
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
    return tmp_path


def sweep(*options: str) -> str:
    result = CliRunner().invoke(main, ["sweep", "--ratios", "0,1", "--jobs", "2", *SMALL, *options])
    if isinstance(result.exception, UserError):
        raise result.exception
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


@pytest.mark.slow
def test_a_sweep_runs_what_is_missing_draws_the_curve_and_shows_the_log_of_what_fails(
    repository: Path, caplog: pytest.LogCaptureFixture
) -> None:
    output = sweep()
    assert "To run: ratio-0, ratio-1" in output and "ratio-1: 2/2" in output
    assert "color" in output and "−25.0" in output  # 20 of 80 photos
    assert "MLflow was not used" in caplog.text
    found = json.loads(Path("metrics/sweep.json").read_text())
    (curve,) = found["curves"]
    assert [(point["ratio"], point["mean"]) for point in curve["points"]] == [(0, 74.375), (1, 49.375)]
    assert [point["experiment"] for point in curve["points"]] == ["ratio-0", "ratio-1"]
    assert Path("metrics/plots/sweep.png").read_bytes().startswith(b"\x89PNG")

    first = Path("metrics/sweep.json").read_bytes()
    again = sweep()
    assert "Taken as they are: ratio-0, ratio-1" in again and "To run" not in again
    assert Path("metrics/sweep.json").read_bytes() == first

    with pytest.raises(UserError, match=r"1 of 1 experiments failed: ratio-0-2; `dvc queue logs ratio-0-2` shows"):
        sweep("-S", "seed=13")
    assert Path("metrics/sweep.json").read_bytes() == first


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--ratios", "0,x"], "'0,x' is no list of numbers such as 0,0.25,0.5,0.75,1"),
        (["--ratios", "0,1.5"], "1.5 is not between 0 and 1"),
        (["--ratios", "0,nan"], "nan is not between 0 and 1"),
        (["--edits-per-photo", "0"], "0 is not 1 or more"),
        (["--edits-per-photo", "1.5"], "'1.5' is no list of numbers such as 1,3"),
    ],
)
def test_a_wrong_list_is_a_usage_error(options: list[str], message: str) -> None:
    result = CliRunner().invoke(main, ["sweep", *options])
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())


def test_a_missing_dvc_is_named_before_anything_is_queued(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    with pytest.raises(UserError, match="dvc is not on PATH"):
        sweep()
