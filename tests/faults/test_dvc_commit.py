"""DVC itself under faults, drawn by seed, while it stores what a stage of ours made and notes that in dvc.lock.

`VARIREAL_FAULT_RUNS=300 pytest tests/faults` does more of the same.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import yaml
from tests.tiny_repository import make_repository, run, run_freely

from varireal.base.seeding import generator

pytestmark = pytest.mark.faults

RUNS = int(os.environ.get("VARIREAL_FAULT_RUNS", "15")) // 5
PROCESS = Path(__file__).with_name("dvc_process.py")
TARGET = "mix@color"
BEFORE = Path("before")  # all that changes, as it was before the faults
CHANGES = (".dvc", "dvc.lock", "data", "metrics", ".work")
KINDS = ("kill", "SIGINT", "full disk")
HALVES = ("half, then kill", "half, then full disk")  # of what is written into a file that is opened
REMEDIES = {  # of docs/scale.md, by what DVC says
    "Unable to read RWLock-file '.dvc/tmp/rwlock'": ("rm", ".dvc/tmp/rwlock"),
    "'./dvc.lock' is invalid": ("git", "checkout", "dvc.lock"),
}


def repro(**fault: object) -> CompletedProcess[str]:
    return run_freely([sys.executable, str(PROCESS), json.dumps(fault), "trace.json", "repro", TARGET])


def files(*places: str) -> dict[str, bytes]:
    """Return the content of every file at or below some places, without what `varireal clean-work` removes."""
    found = [path for place in places for path in [Path(place), *Path(place).rglob("*")]]
    return {path.as_posix(): path.read_bytes() for path in found if path.is_file() and not path.match(".*.tmp")}


def finished() -> dict[str, tuple[int, bytes]]:
    """Return when each file of finished edits was written, and what it holds."""
    kept = {name: data for name, data in files(".work").items() if not name.startswith(".work/times/")}
    return {name: (Path(name).stat().st_mtime_ns, data) for name, data in kept.items()}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[list[tuple[str, str]], dict[str, bytes]]]:
    """What DVC changes file by file in the commits of two stages, and what they leave; the current folder is theirs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("repository"))
        make_repository()
        run("dvc", "repro", "edit@color-feasible")
        run("git", "add", "-A")
        run("git", "commit", "-qm", "half a study")
        for name in CHANGES:
            copy = shutil.copytree if Path(name).is_dir() else shutil.copy2
            BEFORE.mkdir(exist_ok=True)
            copy(name, BEFORE / name)
        done = repro()
        assert done.returncode == 0 and done.stdout.count("Running stage") == 2, done.stdout + done.stderr
        yield json.loads(Path("trace.json").read_text()), files("dvc.lock", "data", "metrics")


def put_right() -> None:
    """Make everything as it was before the two stages."""
    for name in CHANGES:
        if Path(name).is_dir():
            shutil.rmtree(name)
            shutil.copytree(BEFORE / name, name)
        else:
            shutil.copy2(BEFORE / name, name)


@pytest.mark.parametrize("number", range(RUNS))
def test_dvc_that_failed_and_ran_again_leaves_what_an_undisturbed_one_leaves(
    repository: tuple[list[tuple[str, str]], dict[str, bytes]], number: int
) -> None:
    trace, expected = repository
    put_right()
    rng = generator("faults of dvc", number)
    places = sorted({place for place, _ in trace})
    place = places[int(rng.integers(len(places)))]
    events = [event for where, event in trace if where == place]
    call = int(rng.integers(len(events)))
    kinds = (*KINDS, *HALVES) if events[call] == "open" else KINDS
    fault = {"place": place, "call": call + 1, "kind": kinds[int(rng.integers(len(kinds)))]}

    failed = repro(**fault)
    if not fault["kind"].endswith("full disk"):  # which DVC bears where it has another way
        assert failed.returncode != 0, f"{fault} did not happen: {failed.stdout}"
    assert "Traceback" not in failed.stderr
    check_cache()
    kept = finished()
    assert kept

    again = repro()
    for message, remedy in REMEDIES.items():
        if again.returncode and message in again.stderr:
            assert fault["kind"] in HALVES
            run(*remedy)
            again = repro()
    assert again.returncode == 0, f"after {fault}: {again.stderr}"
    assert files("data", "metrics") == {name: data for name, data in expected.items() if name != "dvc.lock"}, fault
    noted = (yaml.safe_load(text) for text in (Path("dvc.lock").read_bytes(), expected["dvc.lock"]))
    assert next(noted) == next(noted), f"after {fault}"  # DVC notes stages in any order
    now = finished()
    assert {path: now.get(path) for path in kept} == kept, f"the run after {fault} did again what was finished"
    check_cache()
    assert ".tmp" not in run("git", "status", "--porcelain", "--untracked-files=all")


def check_cache() -> None:
    """Every file of DVC's cache that has its name is whole: the name is its hash."""
    for path in Path(".dvc/cache/files/md5").rglob("[!.]*"):
        if path.is_file():
            name = path.parent.name + path.name.removesuffix(".dir")
            assert hashlib.md5(path.read_bytes()).hexdigest() == name, path
