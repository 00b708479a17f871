"""The folder of an export: written beside its place and renamed, never over what is no export."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from varireal.base.files import staged_folder
from varireal.errors import UserError

ABOUT = "varireal.json"  # in every export: its "export" names the format, the rest says what it was made from


def check_target(target: Path, force: bool) -> None:
    """Refuse a place where something lies, before anything expensive.

    Raises:
        UserError: the place is taken; with ``force``, by something other than an earlier export.
    """
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    if not force:
        raise UserError(f"{target} exists; name another folder, or replace it with --force")
    if not (target / ABOUT).is_file():
        raise UserError(f"{target} is no earlier export (it has no {ABOUT}), so --force leaves it alone; name another")


@contextlib.contextmanager
def export_folder(target: Path, force: bool) -> Iterator[Path]:
    """Yield an empty folder that takes the target's place when the block succeeds, and vanishes when it fails.

    Raises:
        UserError: as :func:`check_target`, or the disk is full or not writable.
    """
    check_target(target, force)
    with staged_folder(target) as staging:
        yield staging
