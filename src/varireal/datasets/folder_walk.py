"""The picture files below a folder: what is passed over and said, and which links are refused."""

from __future__ import annotations

import dataclasses
import logging
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

from varireal.base.file_kinds import HEIF, is_rest, picture_suffixes, register_heif, shown
from varireal.errors import UserError

logger = logging.getLogger(__name__)

KINDS_SHOWN = 5  # suffixes named in one line


@dataclasses.dataclass
class _Passed:
    """What a walk passes over."""

    rests: list[Path] = dataclasses.field(default_factory=list)
    others: list[Path] = dataclasses.field(default_factory=list)  # files that are no pictures


def walk_pictures(root: Path, without: Collection[Path] = ()) -> Iterator[Path]:
    """Yield the picture files below a root, sorted by path.

    What systems and archives leave behind is passed over, and so are files that are no pictures; both are said.

    Args:
        without: folders that are passed over without a word.

    Raises:
        UserError: a symbolic link leads out of the root, nowhere, or to a folder.
    """
    passed = _Passed()
    yield from _walk(root, root, frozenset(without), passed)
    if passed.rests:
        count = sum(1 if path.is_file() else sum(map(Path.is_file, path.rglob("*"))) for path in passed.rests)
        logger.warning(
            "%s: passed over %d hidden files and rests of systems and archives, which are no photos (the first: %s)",
            root, count, shown(passed.rests[0]),
        )  # fmt: skip
    if passed.others:
        logger.warning(
            "left out of %s, for they are no pictures that can be read here: %s (the first: %s)%s",
            root, kinds(passed.others), shown(passed.others[0]), heif_remedy(passed.others),
        )  # fmt: skip


def _walk(folder: Path, root: Path, without: frozenset[Path], passed: _Passed) -> Iterator[Path]:
    for path in _entries(folder):
        if path in without:
            continue
        if is_rest(path.name):
            passed.rests.append(path)
            continue
        if path.is_symlink():
            _check_link(path, root)
        if path.is_dir():
            yield from _walk(path, root, without, passed)
        elif path.suffix.lower() in picture_suffixes() and path.is_file():  # a pipe would be waited for
            yield path
        else:
            passed.others.append(path)


def subfolders(folder: Path) -> list[Path]:
    """Return the folders in a folder, sorted, without rests of systems and archives."""
    return [path for path in _entries(folder) if path.is_dir() and not is_rest(path.name)]


def _entries(folder: Path) -> list[Path]:
    """Return what lies in a folder, sorted.

    Raises:
        UserError: it may not be read.
    """
    try:
        return sorted(folder.iterdir())
    except PermissionError as error:
        raise UserError(f"the folder {shown(folder)} may not be read; allow it (chmod u+rx), or move it out") from error


def kinds(files: Collection[Path]) -> str:
    """Count files by suffix, in words: ``"12 .heic, 1 .txt"``."""
    counts = Counter(shown(Path(path.suffix.lower())) if path.suffix else "without suffix" for path in files)
    named = [f"{count} {suffix}" for suffix, count in counts.most_common(KINDS_SHOWN)]
    return ", ".join(named) + (" and others" if len(counts) > KINDS_SHOWN else "")


def heif_remedy(files: Collection[Path]) -> str:
    """Say what reads HEIC, if there is some that cannot be read here; else nothing."""
    if register_heif() or not any(path.suffix.lower() in HEIF for path in files):
        return ""
    return "; HEIC is read where pillow-heif is installed: pip install pillow-heif"


def _check_link(path: Path, root: Path) -> None:
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise UserError(f"the symbolic link {shown(path)} leads nowhere; remove it or mend its target") from error
    if not target.is_relative_to(root.resolve()):
        what = "folder" if target.is_dir() else "file"
        raise UserError(
            f"the symbolic link {shown(path)} leads out of {root} (to {shown(target)}); copy the {what} in, or remove "
            "the link"
        )
    if target.is_dir():
        raise UserError(f"{shown(path)} is a symbolic link to a folder; move the folder there, or remove the link")
