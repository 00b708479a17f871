"""What is read of a finished study: its verdicts, and the settings of the very run that wrote them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from tests.reporting.planted_studies import SETTINGS, lock_of, told

from varireal import paths
from varireal.errors import UserError
from varireal.reporting.studies import LOCK, parse_study, read_study

VERDICTS = json.dumps(told()).encode()


def plant(folder: Path, verdicts: bytes = VERDICTS, lock: bytes | None = None) -> Path:
    """Write a study's two files."""
    (folder / paths.VERDICTS).parent.mkdir(parents=True, exist_ok=True)
    (folder / paths.VERDICTS).write_bytes(verdicts)
    (folder / LOCK).write_bytes(lock_of(verdicts, SETTINGS) if lock is None else lock)
    return folder


def test_settings_are_those_of_the_run_whatever_params_yaml_says_now(tmp_path: Path) -> None:
    (plant(tmp_path) / paths.PARAMS).write_text("clip: {model: another}\n")
    found = read_study(str(tmp_path), "workspace")
    assert (found.name, found.photos) == ("workspace", "the photos")
    assert found.settings["clip.model"] == "ViT-B-16-quickgelu" and found.settings["tracking.experiment"] is None
    assert found.told == told()


def test_verdicts_of_another_run_than_the_lock_files_are_refused() -> None:
    with pytest.raises(UserError, match=r"metrics/verdicts\.json of x is not what its dvc\.lock says that report"):
        parse_study("x", json.dumps(told(margin=1.0)).encode(), lock_of(VERDICTS, SETTINGS))


@pytest.mark.parametrize("lock", [b"", b"a: [", b"stages: {}", b"stages: {report: {deps: 3}}", b"<<<<<<< HEAD\n"])
def test_a_lock_file_without_a_finished_report_is_one_line(lock: bytes) -> None:
    with pytest.raises(UserError, match=r"dvc\.lock of x holds no finished stage report") as error:
        parse_study("x", VERDICTS, lock)
    assert "\n" not in str(error.value)


def test_verdicts_that_are_no_json_are_one_line() -> None:
    with pytest.raises(UserError, match="of x is no JSON"):
        parse_study("x", b"{", lock_of(b"{", SETTINGS))


def test_a_folder_without_results_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no metrics/verdicts\.json that can be read .*run `dvc repro` there"):
        read_study(str(tmp_path))
    (plant(tmp_path) / LOCK).unlink()
    with pytest.raises(UserError, match=r"holds no dvc\.lock that can be read"):
        read_study(str(tmp_path))


def test_a_revision_is_read_without_a_checkout_and_without_dvcs_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dvc.repo import Repo

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    subprocess.run(["git", "init", "-q"], check=True)
    Repo.init().close()
    own = ["-c", "user.name=n", "-c", "user.email=n@example.org", "commit", "-qm"]
    for tag, margin in (("first", 0.3), ("second", 1.0)):
        plant(tmp_path, json.dumps(told(margin=margin)).encode())
        for command in (["add", "-A"], [*own, tag], ["tag", tag]):
            subprocess.run(["git", *command], check=True)
    (tmp_path / paths.VERDICTS).unlink()
    assert [read_study(name).told["margin"] for name in ("first", "second")] == [0.3, 1.0]
    with pytest.raises(UserError, match="third is no folder, no file, no DVC experiment and no git revision"):
        read_study("third")
