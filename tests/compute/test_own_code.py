"""The code that runs is the working folder's: in a worktree, in DVC's queue, in workers; or a line says so."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.tiny_repository import end_queue_workers, environment, make_repository, run

REPOSITORY = Path(__file__).parents[2]
PREPARE = Path("src/varireal/stages/prepare.py")
SECONDS = 240  # after which a test is broken, not slow
PROGRAM = Path(sys.executable).with_name("varireal")


def installed_elsewhere() -> dict[str, str]:
    """Return the variables under which Python finds the tests' own checkout, as an editable installation lets it."""
    return environment() | {"PYTHONPATH": str(REPOSITORY / "src")}


def call(*command: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, env=installed_elsewhere(), timeout=300, cwd=cwd)


def let_prepare_say(word: str, folder: Path = Path()) -> None:
    """Change the code of a stage: it prints a word, and where its code lies."""
    text, start = (REPOSITORY / PREPARE).read_text(), "    with staged_folder"
    (folder / PREPARE).write_text(text.replace(start, f"    click.echo(f'{word} from {{__file__}}')\n{start}"))


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VARIREAL_SOURCES", raising=False)
    make_repository()
    let_prepare_say("first")
    Path("conf").mkdir()
    shutil.copy("params.yaml", "conf/config.yaml")  # so that `dvc exp run` composes the tiny study
    for command in (["add", "-A"], ["commit", "-qm", "first"]):
        run("git", *command)
    yield tmp_path
    end_queue_workers(tmp_path)


@pytest.mark.parametrize("program", [[sys.executable, "-m", "varireal"], [str(PROGRAM)]], ids=["module", "script"])
def test_a_worktree_runs_its_own_code(repository: Path, program: list[str]) -> None:
    run("git", "worktree", "add", "-q", "tree")
    let_prepare_say("second", Path("tree"))
    for folder, word in ((repository, "first"), (repository / "tree", "second")):
        done = call(*program, "prepare", cwd=folder)
        assert (done.returncode, done.stdout) == (0, f"{word} from {folder.resolve() / PREPARE}\n"), done.stderr


def test_arguments_errors_and_exit_codes_are_those_of_the_first_start(repository: Path) -> None:
    done = call(sys.executable, "-m", "varireal", "prepare", "--params", "no such file")
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == "Error: no such file does not exist; run from the repository's root or give --params\n"


def test_code_that_cannot_be_replaced_is_an_error_before_anything_is_written(repository: Path) -> None:
    start = f"import sys; sys.path.insert(0, {str(REPOSITORY / 'src')!r}); from varireal.cli import program; program()"
    done = call(sys.executable, "-E", "-c", start, "prepare")
    assert done.returncode == 1 and not Path("data").exists()
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"Error: this folder has its own code in {repository.resolve() / 'src'}, but {REPOSITORY}")


def test_a_folder_without_code_of_its_own_uses_what_is_installed(repository: Path) -> None:
    shutil.rmtree("src")
    done = call(sys.executable, "-m", "varireal", "prepare")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_workers_run_the_same_code(repository: Path) -> None:
    let_prepare_say("workers")
    text, said = PREPARE.read_text(), "    click.echo("
    asked = f"    click.echo(sorted(set(map_in_order(where, range(32), 2))))\n{said}"
    names = "from varireal.compute.processes import map_in_order\nfrom tests_of_workers import where\n"
    PREPARE.write_text(text.replace("import click\n", f"import click\n{names}", 1).replace(said, asked, 1))
    Path("src/tests_of_workers.py").write_text("import varireal\n\ndef where(_):\n    return varireal.__file__\n")
    done = call(sys.executable, "-m", "varireal", "prepare")
    assert done.stdout.splitlines()[0] == str([str(repository.resolve() / "src/varireal/__init__.py")]), done.stderr


@pytest.mark.slow
def test_an_experiment_in_the_queue_runs_the_code_it_was_queued_with(repository: Path) -> None:
    assert call("dvc", "exp", "run", "--queue", "--name", "early", "prepare").returncode == 0
    let_prepare_say("second")
    nowhere = subprocess.DEVNULL  # a process that waits for the worker's end has the outputs, too
    subprocess.run(["dvc", "queue", "start"], check=True, stdout=nowhere, stderr=nowhere, env=installed_elsewhere())
    said, end = [], time.monotonic() + SECONDS
    while not said:
        assert time.monotonic() < end
        time.sleep(0.05)
        logs = [path.read_text() for path in Path(".dvc/tmp/exps/run").glob("*/*.out")]
        said = [line for log in logs for line in log.splitlines(keepends=True) if " from /" in line and "\n" in line]
    assert len(said) == 1 and said[0].startswith(f"first from {repository.resolve() / '.dvc/tmp/exps'}"), logs
    assert "second" in call(sys.executable, "-m", "varireal", "prepare").stdout


CLUSTER = """
import os, subprocess, sys
import ray
found = ray.init("local", num_cpus=1, include_dashboard=False, log_to_driver=False, object_store_memory=2**27)
own = {**os.environ, "PYTHONPATH": "src", "ADDRESS": found.address_info["gcs_address"]}
sys.exit(subprocess.run([sys.executable, "driver.py"], env=own).returncode)
"""
DRIVER = """
import os
import ray
from varireal.compute.engines.ray import _join
_join(os.environ["ADDRESS"])
@ray.remote
def where():
    import varireal
    return varireal.__file__
print(ray.get(where.remote()))
"""


@pytest.mark.slow
def test_workers_of_a_ray_cluster_that_was_started_elsewhere_run_the_same_code(repository: Path) -> None:
    pytest.importorskip("ray")
    for name, text in (("cluster.py", CLUSTER), ("driver.py", DRIVER)):
        Path(name).write_text(text)
    done = call(sys.executable, "cluster.py")  # its own PYTHONPATH leads to the tests' checkout
    assert done.stdout.splitlines()[-1] == str(repository.resolve() / "src/varireal/__init__.py"), done.stderr
