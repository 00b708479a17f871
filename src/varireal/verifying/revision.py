"""What a commit holds: its metrics, its settings and its dvc.lock, without a checkout."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from pathlib import Path
from typing import Any

import yaml

from varireal import paths
from varireal.errors import UserError

LOCK = Path("dvc.lock")


@dataclasses.dataclass(frozen=True)
class State:
    """Figures, settings and stages of a commit or of the working folder."""

    name: str
    files: dict[str, bytes]  # metrics by path
    lock: dict[str, Any]  # stages of dvc.lock

    def figures(self, path: str) -> Any:
        """Return what a JSON file of metrics holds.

        Raises:
            UserError: it is no JSON.
        """
        try:
            return json.loads(self.files[path])
        except ValueError as error:
            raise UserError(f"{path} of {self.name} is no JSON ({error}); make it anew with dvc repro") from error


def committed(rev: str) -> State:
    """Return the state of a commit.

    Raises:
        UserError: there is no git, no repository, no such commit, or it holds no metrics.
    """
    short = _git("rev-parse", "--short", "--verify", f"{rev}^{{commit}}", why=f"{rev} is no commit of this repository")
    listed = _git("ls-tree", "-r", "-z", "--name-only", rev, f"{paths.METRICS}/", why=f"cannot list {rev}")
    names = [name for name in listed.decode().split("\0") if name]
    if not names:
        raise UserError(f"{rev} holds no {paths.METRICS}/ here, so nothing can be compared; name a commit with results")
    files = {name: _show(rev, name) for name in names}
    locked = _git("ls-tree", "--name-only", rev, str(LOCK), why=f"cannot list {rev}")
    return State(f"{rev} ({short.decode().strip()})", files, _stages(_show(rev, str(LOCK)) if locked else b"", rev))


def present() -> State:
    """Return the state of the working folder.

    Raises:
        UserError: a file cannot be read, or dvc.lock is no YAML.
    """
    try:
        found = sorted(path for path in paths.METRICS.rglob("*") if path.is_file())
        files = {path.as_posix(): path.read_bytes() for path in found}
        lock = LOCK.read_bytes() if LOCK.is_file() else b""
    except OSError as error:
        raise UserError(f"cannot read {error.filename}: {error.strerror}; check its permissions") from error
    return State("the working folder", files, _stages(lock, "the working folder"))


def _stages(lock: bytes, where: str) -> dict[str, Any]:
    try:
        return (yaml.safe_load(lock) or {}).get("stages") or {}
    except (yaml.YAMLError, AttributeError) as error:
        raise UserError(f"{LOCK} of {where} has another shape than DVC writes; take it from git again") from error


def _show(rev: str, path: str) -> bytes:
    return _git("show", f"{rev}:./{path}", why=f"cannot read {path} of {rev}")


def _git(*arguments: str, why: str) -> bytes:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, check=False)
    except FileNotFoundError as error:
        raise UserError("git is not installed, and holds the results to compare with; install it") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise UserError(
            f"{why} ({said[0] if said else 'git failed'}); `git log -- {paths.METRICS}` lists what there is"
        )
    return done.stdout
