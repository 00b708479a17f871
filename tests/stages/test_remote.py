"""DVC's remote storage: what one machine made, a fresh clone on another one pulls and need not make again."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tests.tiny_study import change, make_study

from varireal import layout
from varireal.io import sha256_file

REPOSITORY = Path(__file__).parents[2]
MIX = "mix@color-mixed"
OUTPUTS = (layout.PREPARED, layout.SEGMENTED, Path("data/edits"), Path("data/mixes"))


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git repository with this project's stages and code, and a small study of pasted edits in shards."""
    folder = tmp_path / "first machine"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "tester")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "tester@example.org")
    shutil.copytree(REPOSITORY / "src", "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in (".gitignore", ".dvcignore", "dvc.yaml"):
        shutil.copy(REPOSITORY / name, name)
    make_study(Path("no clip"))
    change(edit__storage="shards")
    params = yaml.safe_load(layout.PARAMS.read_text())
    change(watch=dict.fromkeys(params["watch"], "bank.yaml") | {"photos": "photos", "masks": "masks"})
    run("git", "init", "-q")
    run("dvc", "init", "-q")
    shutil.copy(REPOSITORY / ".dvc/config", ".dvc/config")
    return folder


def run(*command: str) -> str:
    environment = os.environ | {"PYTHONPATH": "src"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def hashes() -> dict[str, str]:
    files = sorted(path for folder in OUTPUTS for path in folder.rglob("*") if path.is_file())
    return {path.as_posix(): sha256_file(path) for path in files}


def test_a_fresh_clone_pulls_all_and_makes_nothing_again(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("dvc", "remote", "add", "-d", "store", str(tmp_path / "store"))
    made = run("dvc", "repro", MIX)
    assert made.count("Running stage") == 6  # prepare, prompt, segment, two cells of edits, mix
    run("git", "add", "-A")
    run("git", "commit", "-qm", "a study")
    run("dvc", "push")
    expected = hashes()
    assert any(name.endswith(".tar") for name in expected)

    run("git", "clone", "-q", str(repository), str(tmp_path / "second machine"))
    monkeypatch.chdir(tmp_path / "second machine")
    assert not hashes()
    run("dvc", "pull", MIX, "--with-deps")
    assert hashes() == expected
    again = run("dvc", "repro", MIX)
    assert "Running stage" not in again and "up to date" in again
    assert not Path(".work").exists()
