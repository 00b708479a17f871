"""A full and a read-only disk as the system has them: a tiny file system in the place of .work."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.tiny_study import CELLS, make_study, run_stages

from varireal import paths

pytestmark = pytest.mark.faults

CELL = ("color", "infeasible")
EDIT = f"{sys.executable} -m varireal edit --attribute {CELL[0]} --feasibility {CELL[1]}"


def in_a_namespace(script: str) -> subprocess.CompletedProcess[str]:
    """Run a script whose mounts nobody else sees, and which end with it."""
    command, environment = ["unshare", "--mount", "sh", "-c", script], os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)


@pytest.fixture
def expected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """The bytes of a cell; the current folder is its study before `edit`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    make_study(Path("no clip"))
    Path(".work").mkdir()
    try:
        if in_a_namespace("mount -t tmpfs -o size=1m tmpfs .work").returncode:
            pytest.skip("nobody but root may mount")
    except FileNotFoundError:
        pytest.skip("no Linux")
    run_stages([["prepare"], ["prompt"], ["segment"], ["edit", *CELLS[1]]])
    found = outputs()
    for made in (paths.edit_folder(*CELL), Path(".work")):
        shutil.rmtree(made)
    Path(".work").mkdir()
    return found


def outputs() -> dict[str, bytes]:
    folder = paths.edit_folder(*CELL)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.*"))}


def test_a_full_disk_ends_the_stage_in_one_line_and_what_was_finished_is_used(expected: dict[str, bytes]) -> None:
    done = in_a_namespace(
        f"mount -t tmpfs -o size=24k tmpfs .work && {EDIT}; echo $?; find .work -name '.*' -type f; ls .work/edit/*/*; "
        f"mount -o remount,size=10m .work; {EDIT} || exit 1; find .work -name '*.tmp'; ls .work/edit/*/* | wc -l"
    )
    code, *packs, count = done.stdout.splitlines()
    assert done.returncode == 0 and code == "1", done.stderr
    [line] = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert "the disk is full; free some space and run the same command again" in line
    assert "Traceback" not in done.stderr
    assert 0 < len(packs) < int(count) == 5 and all(pack.endswith(".safetensors") for pack in packs)
    assert outputs() == expected


def test_a_read_only_disk_ends_the_stage_in_one_line(expected: dict[str, bytes]) -> None:
    done = in_a_namespace(
        f"mount -t tmpfs -o size=10m,ro tmpfs .work && {EDIT}; echo $?; mount -o remount,rw .work; {EDIT} || exit 1"
    )
    assert done.returncode == 0 and done.stdout.split() == ["1"], done.stderr
    [line] = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert "the file system is read-only; choose a writable working folder" in line
    assert "Traceback" not in done.stderr and outputs() == expected
