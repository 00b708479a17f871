"""Which stage of how many this is, and how long the whole run will take: DVC says neither.

Every stage that ends well leaves a note of its seconds in ``.work/times``. From those, and from what this run took so
far, follows what is left. It is an estimate, which no result depends on: which stages DVC is going to run is told from
their settings, their code and ``dvc.lock``, as far as that takes milliseconds.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import logging
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from varireal import paths
from varireal.base.files import json_bytes, named_os_errors
from varireal.compute.pipeline import PlannedStage, in_order, keep_parsed, look_up, read_stages, sources
from varireal.compute.processes import is_first
from varireal.compute.progress import whole_as
from varireal.compute.starter import STAGE, starting_dvc
from varireal.errors import UserError
from varireal.store import work_root

if TYPE_CHECKING:
    from varireal.config import Params

logger = logging.getLogger(__name__)

NOTES, PARSED, LOCK = "times", "times/pipeline", Path("dvc.lock")
MINUTE, HOUR = 60.0, 3600.0


@dataclasses.dataclass(frozen=True)
class Note:
    """What a stage took."""

    seconds: float  # as far as all runs have shown
    took: float  # when it ran last
    expected: float | None  # what ``seconds`` were before that
    ended: float  # time.time() then
    run: str  # that it was a part of
    settings: str  # a digest of those that the stage depends on
    code: str  # and of the code


@contextlib.contextmanager
def within_run(params: Params) -> Iterator[None]:
    """Say of a stage that DVC runs which of how many it is and what is left; note its seconds if the block ends well.

    Progress bars in the block say it too. Outside of DVC nothing is said.
    """
    run = _open(params)
    if run is None:
        yield
        return
    click.echo(run.words(), err=True)
    with whole_as(run.words):
        yield
    try:
        run.note()
        keep_parsed(paths.PIPELINE, work_root() / PARSED)
    except UserError as error:  # outputs are complete; only the next run's estimate lacks something
        logger.warning("how long the stage took is not noted: %s", error)


def _open(params: Params) -> WholeRun | None:
    name = os.environ.get(STAGE, "").rpartition(":")[2]
    if not name or not is_first() or not paths.PIPELINE.is_file() or (dvc := starting_dvc()) is None:
        return None
    settings = params.model_dump(mode="json")
    stages = read_stages(paths.PIPELINE, settings, work_root() / PARSED)
    wanted, alone = asked_for(dvc.words, stages)
    order = list(wanted) if alone else in_order(stages, wanted)
    if name not in order:
        return None
    return WholeRun(stages, order, name, settings, read_notes(work_root() / NOTES), dvc.name, dvc.began)


def asked_for(words: Sequence[str], stages: Mapping[str, PlannedStage]) -> tuple[list[str], bool]:
    """Return the stages that a command line of DVC names, none for all; and whether they run alone.

    A stage with a matrix stands for all of its cells.
    """
    if {"--downstream", "--pipeline", "-p", "-P", "--all-pipelines"} & set(words):
        return [], False
    named = [name for name in stages if {name, name.partition("@")[0]} & set(words)]
    return named, bool(named) and bool({"-s", "--single-item"} & set(words))


def read_notes(folder: Path) -> dict[str, Note]:
    """Return the notes by stage; what another version wrote, or nobody could, counts as none."""
    fields = {field.name for field in dataclasses.fields(Note)}
    notes = {}
    for path in sorted(folder.glob("*.json")):
        try:
            held = json.loads(path.read_bytes())
        except ValueError:  # cut short where the machine went down: notes are written without fsync
            continue
        if isinstance(held, dict) and held.keys() == fields:
            notes[path.stem] = Note(**held)
    return notes


class WholeRun:
    """A run of DVC, seen from the stage that runs now."""

    def __init__(
        self,
        stages: Mapping[str, PlannedStage],
        order: Sequence[str],
        current: str,
        settings: Mapping[str, Any],
        notes: Mapping[str, Note],
        run: str,
        began: float,
    ) -> None:
        """Take the stages in the order in which they run.

        Args:
            run: tells this run of DVC from all others.
            began: when this stage did, by ``time.time()``.
        """
        self._stages, self._order, self._current, self._run = stages, order, current, run
        self._settings, self._notes = settings, dict(notes)
        self._lock = LOCK.read_text(encoding="utf-8") if LOCK.is_file() else ""
        self._code: dict[str, str] = {}
        ended = [note.ended for note in notes.values() if note.run == run]
        self._began = max(ended, default=began)  # what DVC does between two stages counts too
        note = self._notes.get(current)
        self._known = note is not None and note.settings == self._settings_of(current)  # its seconds are to be trusted
        self._later = [(name, self._usual(name)) for name in self._expected()]

    def words(self, own_left: float | None = None) -> str:
        """Return where the run is: ``stage 7 of 31 · about 12 min left``.

        Args:
            own_left: seconds that this stage's bar says are left of it.
        """
        place = f"stage {self._order.index(self._current) + 1} of {len(self._order)}"
        left = [self._own_left(own_left), *(seconds for _, seconds in self._later)]
        known = [seconds for seconds in left if seconds is not None]
        whole = len(known) == len(left)
        if not known or (not whole and sum(known) < MINUTE):
            return place
        return f"{place} · {'about' if whole else 'over'} {spoken(sum(known))} left"

    def note(self) -> None:
        """Note what this stage took, now that it ends.

        A stage that finds finished work takes less than it would: so one run halves what is noted at most.

        Raises:
            UserError: the note cannot be written.
        """
        old, now = self._notes.get(self._current), time.time()
        took = now - self._began
        note = Note(
            seconds=round(max(took, old.seconds / 2) if old is not None and self._known else took, 3),
            took=round(took, 3),
            expected=old.seconds if old is not None else None,
            ended=now,
            run=self._run,
            settings=self._settings_of(self._current),
            code=self._code_of(self._current),
        )
        path = work_root() / NOTES / f"{self._current}.json"
        with named_os_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_suffix(".tmp")
            temporary.write_bytes(json_bytes(dataclasses.asdict(note)))
            temporary.replace(path)  # without fsync, which takes long: a lost note is no loss

    def _own_left(self, by_bar: float | None) -> float | None:
        usual = self._usual(self._current)
        left = None if usual is None else max(0.0, usual - (time.time() - self._began))
        if by_bar is None or left is None:
            return left if by_bar is None else by_bar
        return max(by_bar, left) if self._known else by_bar

    def _usual(self, name: str) -> float | None:
        """Return the seconds of a stage by its own notes or those of its kind, at the pace of this run."""
        kind = self._stages[name].command
        alike = {each: note for each, note in self._notes.items() if self._kind(each) == kind}
        if not alike:
            return None
        usual = self._notes[name].seconds if name in alike else sum(n.seconds for n in alike.values()) / len(alike)
        paced = [note for note in alike.values() if note.run == self._run and note.expected]
        said = sum(note.expected or 0.0 for note in paced)
        return usual * sum(note.took for note in paced) / said if said and not self._ran(name) else usual

    def _kind(self, name: str) -> str | None:
        return self._stages[name].command if name in self._stages else None

    def _ran(self, name: str) -> bool:
        return name in self._notes and self._notes[name].run == self._run

    def _expected(self) -> list[str]:
        """Return the later stages that DVC is likely to run."""
        before = sources(self._stages)
        pending = {self._current: None}
        for name in self._order[self._order.index(self._current) + 1 :]:
            makers = before[name].items()
            if (
                not self._block(name)
                or self._is_changed(name)
                or any(maker in pending for maker, _ in makers)
                or any(self._ran(maker) and self._are_new(name, maker, deps) for maker, deps in makers)
            ):
                pending[name] = None
        del pending[self._current]
        return list(pending)

    def _is_changed(self, name: str) -> bool:
        """Return whether settings or code are others than when the stage ran last; no if that is not known."""
        note = self._notes.get(name)
        return note is not None and (note.settings, note.code) != (self._settings_of(name), self._code_of(name))

    def _are_new(self, name: str, maker: str, deps: Sequence[str]) -> bool:
        """Return whether what another stage made in this run is new to a stage; yes if that would take long to tell."""
        for dep in deps:
            known = self._hash(self._block(name), dep)
            made = self._hash(self._block(maker), dep)
            if made is None and Path(dep).is_file():
                made = hashlib.md5(Path(dep).read_bytes(), usedforsecurity=False).hexdigest()
            if made is None or made != known:
                return True
        return False

    def _hash(self, block: str, path: str) -> str | None:
        found = re.search(rf"^ +- path: {re.escape(path)}\n +hash: md5\n +md5: (\S+)$", block, re.MULTILINE)
        return found.group(1) if found else None

    def _block(self, name: str) -> str:
        """Return what dvc.lock says of a stage, as text: to parse it takes a tenth of a second."""
        start = self._lock.find(f"\n  {name}:\n")
        if start < 0:
            return ""
        end = re.compile(r"\n  \S").search(self._lock, start + 1)
        return self._lock[start : end.start() if end else None]

    def _settings_of(self, name: str) -> str:
        values = {key: look_up(key, self._settings) for key in self._stages[name].params}
        return _digest(json.dumps(values, sort_keys=True).encode())

    def _code_of(self, name: str) -> str:
        folders = sorted({dep for dep in self._stages[name].deps if dep.startswith("src/")})
        return _digest("".join(self._code_in(folder) for folder in folders).encode())

    def _code_in(self, folder: str) -> str:
        if folder not in self._code:
            path = Path(folder)
            files = [path] if path.is_file() else sorted(path.rglob("*.py"))
            self._code[folder] = _digest("".join(_state(str(file)) for file in files).encode())
        return self._code[folder]


@functools.cache
def _state(path: str) -> str:
    """Return what tells that a file was changed; to read them all takes longer."""
    about = Path(path).stat()
    return f"{path} {about.st_size} {about.st_mtime_ns}"


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=8).hexdigest()


def spoken(seconds: float) -> str:
    """Return a time as one says it: ``spoken(730) == "12 min"``."""
    if seconds < 1.5 * MINUTE:
        return f"{seconds:.0f} s"
    return f"{seconds / MINUTE:.0f} min" if seconds < 1.5 * HOUR else f"{seconds / HOUR:.1f} h"
