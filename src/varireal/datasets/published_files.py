"""Annotation files of published data sets: data from outside, so every name and number in them is checked."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from varireal.base.file_kinds import at_home
from varireal.base.text import text_problem
from varireal.errors import UserError

MAX_BYTES = 50_000_000  # the largest real one, the devkit of Stanford Cars, has less than one million
MAX_NAME = 255


def locate(root: str, below: Sequence[str], needed: Sequence[str], title: str, get: str) -> Path:
    """Return the folder that holds all that is needed: the root itself, or one of the folders below it.

    Args:
        root: dataset.root, as written in params.yaml.
        below: where the archives put things, relative to the root.
        needed: files and folders, relative to the folder looked for.
        get: what to download and where from, for the message.

    Raises:
        UserError: there is none; says what was looked for, what to get and where to put it.
    """
    top = at_home(root)
    folders = [top, *(top / name for name in below)]
    missing = {folder: [name for name in needed if not (folder / name).exists()] for folder in folders}
    best = min(folders, key=lambda folder: len(missing[folder]))
    if not missing[best]:
        return best
    state = f"lacks {', '.join(missing[best])} in {best}" if top.is_dir() else "does not exist"
    where = " or ".join([top.name or str(top), *below])
    raise UserError(
        f"dataset.root = {root!r} {state}; looked for {', '.join(needed)} in {where}. Get {title}: {get}, and unpack "
        f"into {top.absolute()}, or set dataset.root to where it lies"
    )


def read_bytes(path: Path) -> bytes:
    """Return a file's content.

    Raises:
        UserError: it is missing, unreadable or too large to be an annotation file.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path} is larger than {MAX_BYTES:,} bytes; that is no annotation file, get it again")
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"the annotation file {path} cannot be read ({error.strerror}); get it again") from error


def read_text(path: Path) -> str:
    """Return a text file's content, without a byte-order mark.

    Raises:
        UserError: as :func:`read_bytes`, or it is no UTF-8.
    """
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"the annotation file {path} is not UTF-8 text ({error.reason}); get it again") from error


def read_lines(path: Path) -> list[tuple[str, str]]:
    """Return the lines that are neither empty nor comments, each with where it stands ("<path>, line 3").

    Raises:
        UserError: as :func:`read_text`, or there is no such line.
    """
    lines = [(f"{path}, line {number}", line.strip()) for number, line in enumerate(read_text(path).split("\n"), 1)]
    kept = [(where, line) for where, line in lines if line and not line.startswith("#")]
    if not kept:
        raise UserError(f"the annotation file {path} lists nothing; get it again")
    return kept


def read_mat(path: Path, variable: str) -> Any:
    """Return one variable of a MATLAB file (version 5): structs as dicts, rows of several elements as lists or arrays.

    scipy reads such files without pickles and runs nothing that stands in them, but a spoilt one can crash its reader
    and the interpreter with it; so it works in a process of its own.

    Raises:
        UserError: as :func:`read_bytes`, or it is no such file, or lacks the variable.
    """
    variables, problem = in_own_process(load_mat, read_bytes(path), variable)
    if problem:
        raise UserError(f"{path} is no readable MATLAB file of version 5 ({problem}); get it again")
    if variable not in variables:
        raise UserError(f"the MATLAB file {path} has no variable {variable!r}; is it the right file? get it again")
    return variables[variable]


def load_mat(data: bytes, variable: str) -> tuple[dict[str, Any], str | None]:
    """Return what scipy reads, and what is wrong with the file, if anything."""
    import io

    from scipy.io import loadmat

    try:
        return loadmat(io.BytesIO(data), variable_names=[variable], simplify_cells=True), None
    except Exception as error:  # on spoilt files it raises whatever its steps happen to run into
        return {}, " ".join(str(error).split())[:200] or type(error).__name__


def in_own_process(
    load: Callable[[bytes, str], tuple[dict[str, Any], str | None]], data: bytes, variable: str
) -> tuple[dict[str, Any], str | None]:
    """Call :func:`load_mat` in a process whose crash is a problem like any other."""
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool

    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(load, data, variable).result()
        except BrokenProcessPool:
            return {}, "it crashes the reader"


def member(name: str, where: str) -> Path:
    """Return a file name from an annotation as a relative path.

    Raises:
        UserError: it is absolute, climbs out of its folder, or has control characters.
    """
    parts = PurePosixPath(name)
    if problem := text_problem(name, MAX_NAME):
        raise UserError(f"{where}: the file name {name!r} {problem}; get the annotations again")
    if parts.is_absolute() or ".." in parts.parts or not parts.parts or "\\" in name or ":" in name:
        raise UserError(f"{where}: the file name {name!r} leads out of the data set; get the annotations again")
    return Path(*parts.parts)


def number(text: str, allowed: range, what: str, where: str) -> int:
    """Return a whole number from an annotation.

    Raises:
        UserError: it is none, or not an allowed one.
    """
    try:
        value = int(text)
    except ValueError:
        value = allowed.start - 1
    if value not in allowed:
        raise UserError(f"{where}: {what} is {text!r}, allowed are {allowed.start} to {allowed.stop - 1}")
    return value


def known(name: str, names: Sequence[str], what: str, where: str) -> int:
    """Return the position of a name.

    Raises:
        UserError: it is unknown; names a similar one.
    """
    if name in names:
        return names.index(name)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f" (did they mean {close[0]!r}?)" if close else ""
    raise UserError(f"{where}: unknown {what} {name!r}{hint}; get the annotations again, or correct the line")
