"""The tiny study as a user has it: a git repository with DVC, and with this project's stages and code."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil
import yaml
from tests.tiny_study import REPOSITORY, change, make_study

from varireal import paths


def environment() -> dict[str, str]:
    """Return the variables under which `dvc` and `git` find this environment's programs, and the repository's code."""
    found = {name: value for name, value in os.environ.items() if name != "DVC_ROOT"}
    found |= {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{found['PATH']}", "PYTHONPATH": "src"}
    for name in ("AUTHOR", "COMMITTER"):
        found |= {f"GIT_{name}_NAME": "tester", f"GIT_{name}_EMAIL": "tester@example.org"}
    return found


def run(*command: str) -> str:
    """Run a command that must succeed in the current folder; return what it prints."""
    done = run_freely(command)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def run_freely(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a command that may fail."""
    return subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=300)


def end_queue_workers(folder: Path) -> None:
    """End the workers of DVC's queue in a folder, which else wait there for another experiment."""
    for process in psutil.process_iter(["cmdline"]):
        with contextlib.suppress(psutil.Error):
            if "queue-worker" in (process.info["cmdline"] or []) and process.cwd() == str(folder.resolve()):
                process.kill()


def make_repository(source: Path = REPOSITORY) -> None:
    """Make the current folder the repository, with the code of a checkout; its study edits by pasting."""
    shutil.copytree(source / "src", "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in (".gitignore", ".dvcignore", "dvc.yaml"):
        shutil.copy(source / name, name)
    make_study(Path("no clip"), "own/photos", "own/masks", source=source)  # git leaves out those at the top
    params = yaml.safe_load(paths.PARAMS.read_text())
    change(watch=dict.fromkeys(params["watch"], "bank.yaml") | {"photos": "own/photos", "masks": "own/masks"})
    run("git", "init", "-q")
    run("dvc", "init", "-q")
    own = shutil.ignore_patterns("__pycache__", "tmp", "cache", "config.local")
    shutil.copytree(source / ".dvc", ".dvc", ignore=own, dirs_exist_ok=True)
