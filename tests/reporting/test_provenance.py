"""Commit, versions and hashes, in a repository of its own."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from pathlib import Path

import pytest

from varireal.errors import UserError
from varireal.reporting.provenance import Provenance, provenance, read_provenance


def git(*arguments: str) -> str:
    identity = ("-c", "user.name=test", "-c", "user.email=test@example.com")
    return subprocess.run(["git", *identity, *arguments], check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_EXP_NAME", raising=False)
    git("init", "-q")
    for name in ("code.py", "params.yaml", "dvc.lock"):
        (tmp_path / name).write_text("stages: {}\n")
    git("add", ".")
    git("commit", "-q", "-m", "first")
    return tmp_path


def test_names_the_commit_and_whether_code_differs(repository: Path) -> None:
    assert provenance().commit == git("rev-parse", "HEAD")
    (repository / "params.yaml").write_text("seed: 1\n")  # an experiment writes it; the page shows it whole
    assert not provenance().changed
    (repository / "code.py").write_text("changed\n")
    assert provenance().changed


def test_reads_hashes_of_outputs_from_the_lock_and_the_experiment_from_dvc(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (repository / "dvc.lock").write_text(
        "stages:\n"
        "  b:\n    outs: [{path: data/b, md5: 22.dir}]\n"
        "  a:\n    outs: [{path: data/a, md5: '11'}]\n"
        "  c: {cmd: x}\n"
    )
    monkeypatch.setenv("DVC_EXP_NAME", "windy-goat")
    made = provenance()
    assert list(made.data.items()) == [("data/a", "11"), ("data/b", "22.dir")]
    assert made.experiment == "windy-goat"
    assert made.versions["python"].startswith("3.") and made.versions["torch"]


def test_outside_of_git_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    made = provenance()
    assert made.commit is None and not made.changed and made.data == {}


LOCK = "schema: '2.0'\nstages:\n  a:\n    outs:\n    - path: data/a\n      md5: '11'\n"


@pytest.mark.parametrize("content", ["", "schema: '2.0'\nstages:\n", "stages: {a: {outs: }}"])
def test_an_empty_lock_has_no_hashes(repository: Path, content: str) -> None:
    (repository / "dvc.lock").write_text(content)
    assert provenance().data == {}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            LOCK.replace("      md5", "<<<<<<< HEAD\n      md5"),
            r"dvc\.lock holds conflict markers of a merge \(line 6\)",
        ),
        ("- a\n", r"dvc\.lock has another shape than DVC writes; take it from git again"),
        ("stages: [a]\n", "another shape"),
        ("stages: {a: }\n", "another shape"),
        ("stages: {a: {outs: [b]}}\n", "another shape"),
        ("stages: {a: {outs: [{md5: 1}]}}\n", "another shape"),
        (LOCK[:-4] + "\n  'cut", r"dvc\.lock is not valid YAML"),
    ],
)
def test_a_lock_after_a_merge_is_one_line(repository: Path, content: str, said: str) -> None:
    (repository / "dvc.lock").write_text(content)
    with pytest.raises(UserError, match=said) as caught:
        provenance()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["<<<<<<< HEAD\nseed: 1\n=======\n", "- a\n", ""])
def test_settings_of_a_commit_that_are_none_are_not_compared(repository: Path, content: str) -> None:
    (repository / "params.yaml").write_text(content)
    git("commit", "-qam", "a conflict, committed")
    (repository / "params.yaml").write_text("seed: 1\n")
    assert provenance().changed_settings == {}


def test_what_was_written_is_read_back_and_another_shape_is_one_line(tmp_path):
    made = Provenance("abc", False, None, {"torch": "2"}, {"metrics": "0"}, {"seed": 1}, None)
    (tmp_path / "p.json").write_text(json.dumps({**dataclasses.asdict(made), "added_later": 1}))
    assert read_provenance(tmp_path / "p.json") == made
    for content, said in (("[]", "it holds no object"), ('{"commit": null}', "it lacks changed, experiment, versions")):
        (tmp_path / "p.json").write_text(content)
        with pytest.raises(UserError, match=said):
            read_provenance(tmp_path / "p.json")
