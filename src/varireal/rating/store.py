"""The answers of a rater: one JSON line each, on the disk before the next picture is shown."""

from __future__ import annotations

import dataclasses
import datetime
import json
import logging
import os
import re
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, get_args

from varireal.base.files import named_os_errors
from varireal.errors import UserError
from varireal.rating.edits import RatedEdit

Answer = Literal["possible", "impossible", "broken"]
ANSWERS: tuple[Answer, ...] = get_args(Answer)

FOLDER = Path("data/ratings")  # <rater>.jsonl, one a rater
RATER = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Rating:
    """A rater's answer about an edit."""

    edit: RatedEdit
    answer: Answer


def ratings_path(rater: str, folder: Path = FOLDER) -> Path:
    """Return the file of a rater's answers.

    Raises:
        UserError: the name is not one that every file system takes.
    """
    if not RATER.fullmatch(rater):
        raise UserError(
            f"the rater's name {rater!r} cannot be used; allowed are up to 40 of a-z, 0-9, - and _, "
            "beginning with a letter or digit, such as anna or rater-2"
        )
    return folder / f"{rater}.jsonl"


def read_ratings(path: Path) -> list[Rating]:
    """Read the answers in a rater's file, the oldest first, without half a last line of a killed process.

    Raises:
        UserError: the file is unreadable, or a line is no rating (the line is named).
    """
    return [_parse(line, f"{path}, line {number}") for number, line in enumerate(_whole_lines(path)[0], start=1)]


def latest(ratings: list[Rating]) -> dict[RatedEdit, Answer]:
    """Return the last answer about every edit, as going back corrects the one before."""
    return {rating.edit: rating.answer for rating in ratings}


def all_raters(folder: Path = FOLDER) -> dict[str, list[Rating]]:
    """Read the answers of every rater, by name.

    Raises:
        UserError: there is none, or as for :func:`read_ratings` and :func:`ratings_path`.
    """
    paths = sorted(folder.glob("*.jsonl"))
    if not paths:
        raise UserError(f"{folder} holds no ratings; make some with `varireal rate --rater NAME`")
    return {path.stem: read_ratings(ratings_path(path.stem, folder)) for path in paths}


class RatingsFile:
    """A rater's file, open for more answers from several threads of one process."""

    def __init__(self, rater: str, folder: Path = FOLDER) -> None:
        """Lock the file and drop what a killed process left of a last line.

        Raises:
            UserError: the name is not allowed, another process holds the file, it is unreadable or not writable.
        """
        from filelock import FileLock, Timeout

        self._path = ratings_path(rater, folder)
        self._thread_lock = threading.Lock()
        with named_os_errors(self._path):
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(folder / f".{rater}.lock")
            try:
                self._lock.acquire(timeout=0)
            except Timeout as error:
                raise UserError(
                    f"{rater} is being rated for by another `varireal rate`; close that one, or use another name"
                ) from error
            with ExitStack() as undo:
                undo.callback(self._lock.release)
                self._mend()
                self.ratings = read_ratings(self._path)
                self._file = self._path.open("ab")
                undo.pop_all()  # from here on `__exit__` releases the lock

    def _mend(self) -> None:
        """End the file with a whole line, so that the next one begins on its own."""
        if not self._path.is_file():
            return
        lines, torn = _whole_lines(self._path)
        if torn:
            logger.warning(
                "%s ends in half a line, which is dropped: a process was killed while writing it", self._path
            )
        size = sum(len(line) + 1 for line in lines)
        with self._path.open("r+b") as file:
            file.truncate(min(size, self._path.stat().st_size))
            file.seek(0, os.SEEK_END)
            if file.tell() < size:  # the last line is whole, but for its end
                file.write(b"\n")
            file.flush()
            os.fsync(file.fileno())

    def append(self, rating: Rating) -> None:
        """Add an answer; it is on the disk when this returns.

        Raises:
            UserError: the disk is full or not writable.
        """
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        row = {"time": now, **dataclasses.asdict(rating.edit), "answer": rating.answer}
        with self._thread_lock, named_os_errors(self._path):
            self._file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
            self.ratings.append(rating)

    def __enter__(self) -> RatingsFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file and let others have it."""
        self._file.close()
        self._lock.release()


def _whole_lines(path: Path) -> tuple[list[bytes], bool]:
    """Read the whole lines of a file, none if there is no file, and return whether half a line follows them."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return [], False
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; check its permissions") from error
    *lines, last = data.split(b"\n")
    if not last:
        return lines, False
    try:
        json.loads(last)
    except ValueError:
        return lines, True
    return [*lines, last], False


def _parse(line: bytes, where: str) -> Rating:
    try:
        row: Any = json.loads(line)
    except ValueError as error:
        raise UserError(f"{where} is no JSON ({error}); restore the file, or delete that line") from error
    names = [field.name for field in dataclasses.fields(RatedEdit)]
    problem = next(_problems(row, names), None)
    if problem:
        raise UserError(f"{where}: {problem}; restore the file, or delete that line")
    return Rating(RatedEdit(*(row[name] for name in names)), row["answer"])


def _problems(row: Any, names: list[str]) -> Iterator[str]:
    if not isinstance(row, dict):
        yield "not a JSON object"
        return
    for name in names:
        if not isinstance(row.get(name), str):
            yield f"{name} must be text, found {row.get(name)!r}"
    if row.get("answer") not in ANSWERS:
        yield f"answer must be one of {', '.join(ANSWERS)}, found {row.get('answer')!r}"
