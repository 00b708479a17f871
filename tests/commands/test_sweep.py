"""`varireal sweep` with DVC's real queue, in a repository whose stages take no time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from varireal.cli import main
from varireal.errors import UserError

SMALL = ["-S", "grid.attributes=[color]", "-S", "grid.sources=[synthetic]", "-S", "grid.seeds=[0,1]"]


def sweep(*options: str) -> str:
    result = CliRunner().invoke(main, ["sweep", "--ratios", "0,1", "--jobs", "2", *SMALL, *options])
    if isinstance(result.exception, UserError):
        raise result.exception
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


@pytest.mark.slow
def test_a_sweep_runs_what_is_missing_and_draws_the_curve(repository: Path, caplog: pytest.LogCaptureFixture) -> None:
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
