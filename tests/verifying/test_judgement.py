"""Whether results are those of a commit: a repository of a few files, with planted differences."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from varireal.cli import main
from varireal.errors import UserError

EVALUATED = {"images": 600, "zero_shot": {"top1": 30.0, "per_class": {"a": 10.0, "b": 50.0}},
             "cells": [{"seed": 0, "top1": 50.0}]}  # fmt: skip
METRICS: dict[str, Any] = {
    "evaluate.json": EVALUATED,
    "measure.json": {"real": {"val_photos": 100}},
    "verdicts.json": {"margin": 0.3, "comparisons": {"outcome": "undecided", "words": "needs 7 more seeds"}},
    "train/real.json": {"runs": [{"val_loss": 1.2}]},
}
LOCK = {
    "stages": {
        "edit@color-feasible": {
            "params": {"params.yaml": {"edit": {"method": "diffusion"}}},
            "deps": [{"path": "src/varireal/editing", "md5": "1"}, {"path": "data/segmented", "md5": "2"}],
            "outs": [{"path": "data/edits/color/feasible", "md5": "3"}],
        }
    }
}


def write(name: str, value: Any) -> None:
    path = Path("metrics", name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value))


def git(*arguments: str) -> None:
    subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments], check=True, capture_output=True)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, a folder of a repository: results that were committed."""
    root = tmp_path / "a project"
    root.mkdir()
    monkeypatch.chdir(root)
    for name, value in METRICS.items():
        write(name, value)
    write("table.csv", "cell,top1\n")
    Path("dvc.lock").write_text(yaml.safe_dump(LOCK))
    git("init", "-q", str(tmp_path))
    git("add", ".")
    git("commit", "-qm", "results")
    return root


def verify(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["verify", *arguments])


def problem(*arguments: str) -> str:
    """What the command ends with where it does not end well."""
    error = verify(*arguments).exception
    assert isinstance(error, UserError)
    return str(error)


def test_the_same_files_are_reproduced(project: Path) -> None:
    result = verify()
    assert result.exit_code == 0
    first, last = result.output.splitlines()
    assert first.endswith(": 9 figures and 1 verdicts in 4 files, 4 of them the same to the byte")
    assert last.startswith("The results of HEAD (") and "reproduced" in last


def test_last_digits_and_a_photo_are_within_tolerance_and_told_with_the_machine_as_their_cause(project: Path) -> None:
    write("train/real.json", {"runs": [{"val_loss": 1.2001}]})
    write("evaluate.json", {**EVALUATED, "cells": [{"seed": 0, "top1": 50.1667}]})
    write("table.csv", "cell,top1\nx,1\n")
    stage = LOCK["stages"]["edit@color-feasible"]
    other = {**stage, "outs": [{"path": "data/edits/color/feasible", "md5": "4"}]}
    Path("dvc.lock").write_text(yaml.safe_dump({"stages": {"edit@color-feasible": other}}))
    result = verify("HEAD")
    assert result.exit_code == 0
    assert result.output.splitlines()[1:-1] == [
        "  metrics/evaluate.json: 1 within tolerance, the largest cells.0.top1 50 → 50.1667 (±0.5 allowed)",
        "  metrics/train/real.json: 1 within tolerance, the largest runs.0.val_loss 1.2 → 1.2001 (±0.012 allowed)",
        "  metrics/table.csv: drawn from these figures",
        "  edit: data/edits/color/feasible: the same code, settings and inputs: another CPU, or other versions of "
        "libraries",
    ]  # fmt: skip


def test_a_planted_difference_and_another_verdict_do_not_agree(project: Path) -> None:
    write("evaluate.json", {**EVALUATED, "cells": [{"seed": 0, "top1": 51.0}]})
    write("verdicts.json", {"margin": 0.3, "comparisons": {"outcome": "different", "words": "different: a is better"}})
    Path("metrics/train/real.json").unlink()
    result = verify()
    assert "    cells.0.top1 50 → 51 (±0.5 allowed)" in result.output
    assert "    comparisons.outcome undecided → different" in result.output
    assert "  metrics/train/real.json: only one of the two has it" in result.output
    assert "1 figure outside of tolerance, 1 other verdict, 1 file on one side only" in str(result.exception)


def test_looks_of_settle_are_no_results_of_a_stage_and_may_stand_on_one_side(project: Path) -> None:
    write("settle.json", {"state": "decided"})
    result = verify()
    assert result.exit_code == 0 and "settle" not in result.output


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"params": {"params.yaml": {"edit": {"method": "paste"}}}}, "other settings: edit.method"),
        ({"deps": [{"path": "src/varireal/editing", "md5": "9"}]}, "other code: src/varireal/editing"),
        ({"deps": [{"path": "data/segmented", "md5": "9"}]}, "other inputs: data/segmented"),
    ],
)
def test_what_lies_before_a_stage_is_named_as_the_cause(project: Path, change: dict[str, Any], said: str) -> None:
    stage = LOCK["stages"]["edit@color-feasible"]
    other = {**stage, "outs": [{"path": "data/edits/color/feasible", "md5": "4"}], **change}
    Path("dvc.lock").write_text(yaml.safe_dump({"stages": {"edit@color-feasible": other}}))
    assert f"  edit: data/edits/color/feasible: {said}" in verify().output.splitlines()


def test_what_cannot_be_compared_is_told_in_one_line(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert problem("nope").startswith("nope is no commit of this repository (")
    write("evaluate.json", "<<<<<<< HEAD")
    assert problem().startswith("metrics/evaluate.json of the working folder is no JSON")
    git("rm", "-rq", "--cached", "metrics")
    git("commit", "-qm", "no results")
    assert problem() == "HEAD holds no metrics/ here, so nothing can be compared; name a commit with results"
    Path("dvc.lock").write_text("<<<<<<< HEAD\n- a: b: c")
    assert problem("HEAD~1").startswith("dvc.lock of the working folder has another shape than DVC writes")
    monkeypatch.setenv("GIT_DIR", str(project / "none"))
    assert "not a git repository" in problem()


def test_metrics_of_another_shape_are_refused(project: Path) -> None:
    write("measure.json", {"of": "an earlier version"})
    git("add", ".")
    git("commit", "-qm", "others")
    write("train/real.json", {"runs": []})
    assert "has metrics of another shape (KeyError: 'real')" in problem()
