"""`varireal clean-work`: what lies in .work that no output needs any more, and to free it. No stage."""

from __future__ import annotations

import dataclasses
import logging
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from varireal import paths
from varireal.cli import stage_options
from varireal.doctor.needed import KEPT_WHOLE, NEEDED, PIXELS
from varireal.errors import UserError

if TYPE_CHECKING:
    from varireal.config import Params

logger = logging.getLogger(__name__)

DAY = 24 * 60 * 60.0
GONE = ".new-freed-"  # how names of what is just being removed begin; as those of what was never finished


@click.command("clean-work")
@stage_options
@click.option(
    "--older-than",
    "days",
    type=click.FloatRange(min=0),
    default=1.0,
    show_default=True,
    help="Spare what is younger than so many days: another run may be using it.",
)
@click.option("--yes", "do_it", is_flag=True, help="Free it; without this nothing is removed.")
def command(params: Params, days: float, do_it: bool) -> None:
    """Show what finished work in .work is not needed any more, and free it with --yes.

    Needed is what the stages would look up with params.yaml and the data as they are now, so that they make nothing
    anew. Work of other experiments is not: their outputs stay in DVC's cache, but whoever continues them makes
    it again. Answers of language models and masks are always kept. Leftovers of killed runs go too.
    """
    from varireal.store import work_root

    root = work_root()
    folders = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    needed = _Needed(params)
    before = time.time() - days * DAY
    stores = [_look_at(folder, needed, before) for folder in folders]
    outside = _leftovers(before)
    stores += [outside] if outside.kept.paths or outside.free.paths else []
    click.echo(f"{'in ' + str(root):<28}{'kept':>20}{'not needed':>22}")
    for store in stores:
        click.echo(f"{store.name:<28}{store.kept:>20}{store.free:>22}  {store.note}".rstrip())
    paths = [path for store in stores for path in store.free.paths]
    size = _readable(sum(store.free.size for store in stores))
    if not paths:
        click.echo("Nothing is to be freed.")
    elif do_it:
        for path in paths:
            _remove(path)
        click.echo(f"Freed {size}.")
    else:
        click.echo(f"{size} can be freed: run the same command with --yes.")


@dataclasses.dataclass
class _Share:
    """Some of a store's items."""

    paths: list[Path] = dataclasses.field(default_factory=list)
    size: int = 0  # bytes

    def add(self, path: Path) -> None:
        self.paths.append(path)
        files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
        self.size += sum(each.stat().st_size for each in files)

    def __format__(self, spec: str) -> str:
        return format(f"{len(self.paths):,} / {_readable(self.size)}" if self.paths else "-", spec)


@dataclasses.dataclass
class _Store:
    name: str
    note: str
    kept: _Share = dataclasses.field(default_factory=_Share)
    free: _Share = dataclasses.field(default_factory=_Share)


class _Needed:
    """What the settings need, found out once for all stores that one question answers."""

    def __init__(self, params: Params) -> None:
        self._params = params
        self._found: dict[Callable[[Params], Iterator[Path]], set[Path] | str] = {}

    def of(self, name: str) -> set[Path] | str:
        """Return the items of a store that are needed, or why all of them are kept."""
        if name in KEPT_WHOLE:
            return KEPT_WHOLE[name]
        asked = NEEDED.get(PIXELS if name.startswith(PIXELS) else name)
        if asked is None:
            return "not a store of this version"
        if asked not in self._found:
            try:
                self._found[asked] = set(asked(self._params))
            except UserError as error:
                self._found[asked] = f"what is needed cannot be told: {error}"
        return self._found[asked]


def _look_at(folder: Path, needed: _Needed, before: float) -> _Store:
    """Share out a store's items; what is younger than the time, in seconds, is kept."""
    keep = needed.of(folder.name)
    store = _Store(folder.name, f"kept whole: {keep}" if isinstance(keep, str) else "")
    for path in sorted(folder.glob("*/*")):
        leftover = path.name.startswith(".")
        unneeded = leftover or (not isinstance(keep, str) and path not in keep)
        try:
            (store.free if unneeded and path.stat().st_mtime < before else store.kept).add(path)
        except FileNotFoundError:  # a run beside this one has finished or thrown it away
            logger.info("%s has vanished", path)
    return store


def _leftovers(before: float) -> _Store:
    """Return the folders beside outputs that killed runs were writing."""
    store = _Store("halves of outputs", "")
    for root in sorted({Path(paths.PREPARED.parts[0]), paths.ADAPTERS.parent, paths.METRICS, Path()}):
        pattern = ".*.tmp" if root == Path() else "**/.*.tmp"
        for path in sorted(root.glob(pattern)):
            (store.free if path.stat().st_mtime < before else store.kept).add(path)
    return store


def _remove(path: Path) -> None:
    """Remove an item so that it is there whole or not at all, whenever this ends."""
    gone = path.with_name(f"{GONE}{path.name.removeprefix(GONE)}")
    try:
        path.rename(gone)
        gone.unlink() if gone.is_file() else shutil.rmtree(gone)
    except FileNotFoundError:
        logger.info("%s has vanished", path)
    except OSError as error:
        raise UserError(f"cannot remove {path} ({error.strerror}); what was removed before it is gone") from error


def _readable(size: int) -> str:
    amount, units = float(size), ["B", "KB", "MB", "GB", "TB"]
    while amount >= 1000 and len(units) > 1:
        amount, units = amount / 1000, units[1:]
    return f"{amount:.0f} {units[0]}" if units[0] == "B" else f"{amount:.1f} {units[0]}"
