"""What git would make of the files that settings name: photos it would commit, and paths it would not carry along."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from varireal.base.file_kinds import at_home

OWN = ("dataset.root", "dataset.masks_root", "edit.prior.pictures")  # settings that name a user's pictures
DERIVED = {"photos", "masks", "pictures"}  # of the section watch: they stand for those above


def pictures_to_be_committed(settings: Mapping[str, Any], root: Path) -> str | None:
    """Say which photos, masks or pictures git would commit with an experiment, and what to do; None where none.

    DVC commits every file of the repository that git does not ignore.

    Args:
        settings: as params.yaml holds them.
        root: of the repository.
    """
    for key, value in _named(settings).items():
        named = root / at_home(value)
        path = named.parent.resolve() / named.name  # a link itself is a small file that may be committed
        if not path.is_relative_to(root.resolve()) or path.is_symlink():
            continue
        listed = _git(root, "ls-files", "--others", "--exclude-standard", "-z", "--", str(path))
        if files := [name for name in (listed or "").split("\0") if name]:
            return (
                f"{key} = {value!r} lies in this repository, and git would commit its {len(files)} files with the "
                f"experiment (the first: {files[0]}); move it out of the repository or below data/, or let git ignore "
                f"it: echo '/{path.relative_to(root.resolve()).as_posix()}/' >> .gitignore"
            )
    return None


def paths_not_carried(settings: Mapping[str, Any], root: Path) -> dict[str, str]:
    """Return the settings that name what a copy of the repository lacks: relative paths that git ignores.

    DVC runs experiments of its queue in such a copy. What ``dvc add`` tracks is checked out there.
    """
    watched = settings.get("watch", {})
    named = _named(settings) | {f"watch.{key}": path for key, path in watched.items() if key not in DERIVED}
    return {
        key: value
        for key, value in named.items()
        if not at_home(value).is_absolute()
        and (root / value).exists()
        and not (root / f"{value.rstrip('/')}.dvc").is_file()
        and _git(root, "check-ignore", "-q", "--", value) is not None
        and not _git(root, "ls-files", "--", value)
    }


def _named(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the settings that name a user's pictures with their values."""
    named = {}
    for key in OWN if settings.get("dataset", {}).get("root") else OWN[2:]:
        value: Any = settings
        for part in key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        if isinstance(value, str):
            named[key] = value
    return named


def _git(root: Path, *arguments: str) -> str | None:
    """Return what git says; None where it fails, as it does outside of a repository."""
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, check=False)
    except FileNotFoundError:  # no git here, so nothing is committed either
        return None
    return os.fsdecode(done.stdout) if done.returncode == 0 else None
