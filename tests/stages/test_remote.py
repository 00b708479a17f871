"""DVC's remote storage: what one machine made, a fresh clone on another one pulls and need not make again."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.tiny_repository import make_repository, run
from tests.tiny_study import change

from varireal import paths
from varireal.base.files import sha256_file

pytestmark = pytest.mark.slow

MIX = "mix@color"
OUTPUTS = (paths.PREPARED, paths.SEGMENTED, Path("data/edits"), Path("data/mixes"))


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small study of pasted edits in shards; the current folder."""
    folder = tmp_path / "first machine"
    folder.mkdir()
    monkeypatch.chdir(folder)
    make_repository()
    change(edit__storage="shards")
    return folder


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
