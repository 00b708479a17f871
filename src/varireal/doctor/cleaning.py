"""What lies in .work that no output needs any more: what the stages would look up is needed, store by store."""

from __future__ import annotations

import dataclasses
import itertools
import logging
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from varireal import paths
from varireal.base.files import read_json
from varireal.base.manifest import iterate_manifest
from varireal.editing.cell import plan_cell
from varireal.errors import UserError
from varireal.evaluation.cells import cells, check_adapters
from varireal.evaluation.plan import plan_predictions, read_test_split
from varireal.measuring.plan import plan_measuring
from varireal.store import FolderStore, work_root
from varireal.training.plan import fine_tunings, read_training_set

if TYPE_CHECKING:
    from varireal.config import Params

logger = logging.getLogger(__name__)

DAY = 24 * 60 * 60.0
GONE = ".new-freed-"  # how names of what is just being removed begin; as those of what was never finished
PIXELS = "pixels-"  # how the names of the stores of decoded pictures begin


@dataclasses.dataclass
class StoredItems:
    """Some of a store's items."""

    paths: list[Path] = dataclasses.field(default_factory=list)
    size: int = 0  # bytes

    def add(self, path: Path) -> None:
        """Add an item, a file or a folder.

        Raises:
            FileNotFoundError: it vanished in the meantime.
        """
        self.paths.append(path)
        files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
        self.size += sum(each.stat().st_size for each in files)


@dataclasses.dataclass
class StoreContent:
    """A store's items, those that are kept apart from those that can be freed."""

    name: str
    note: str  # why all of it is kept, if so
    kept: StoredItems = dataclasses.field(default_factory=StoredItems)
    free: StoredItems = dataclasses.field(default_factory=StoredItems)


def look_through_work(params: Params, days: float) -> list[StoreContent]:
    """Sort every store's items, and what killed runs left beside outputs, into kept and free.

    What is younger than so many days is kept: another run may be using it.
    """
    root, before = work_root(), time.time() - days * DAY
    folders = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    needed = _Needed(params)
    contents = [_look_through(folder, needed, before) for folder in folders]
    leftovers = _look_for_leftovers(before)
    return [*contents, leftovers] if leftovers.kept.paths or leftovers.free.paths else contents


def remove_item(path: Path) -> None:
    """Remove an item so that it is there whole or not at all, whenever this ends.

    Raises:
        UserError: the file system refuses.
    """
    gone = path.with_name(f"{GONE}{path.name.removeprefix(GONE)}")
    try:
        path.rename(gone)
        gone.unlink() if gone.is_file() else shutil.rmtree(gone)
    except FileNotFoundError:
        logger.info("%s has vanished", path)
    except OSError as error:
        raise UserError(f"cannot remove {path} ({error.strerror}); what was removed before it is gone") from error


class _Needed:
    """Tells which items the settings need, and asks once where one question answers for several stores."""

    def __init__(self, params: Params) -> None:
        self._params = params
        self._answers: dict[Callable[[Params], Iterator[Path]], set[Path] | str] = {}

    def items(self, store: str) -> set[Path] | str:
        """Return the items of a store that are needed, or why all of them are kept."""
        if store in KEPT_WHOLE:
            return KEPT_WHOLE[store]
        finder = FINDERS.get(PIXELS if store.startswith(PIXELS) else store)
        if finder is None:
            return "not a store of this version"
        if finder not in self._answers:
            try:
                self._answers[finder] = set(finder(self._params))
            except UserError as error:
                self._answers[finder] = f"what is needed cannot be told: {error}"
        return self._answers[finder]


def _look_through(folder: Path, needed: _Needed, before: float) -> StoreContent:
    """Sort a store's items; what is younger than the time, in seconds, is kept."""
    keep = needed.items(folder.name)
    store = StoreContent(folder.name, f"kept whole: {keep}" if isinstance(keep, str) else "")
    for path in sorted(folder.glob("*/*")):
        leftover = path.name.startswith(".")
        unneeded = leftover or (not isinstance(keep, str) and path not in keep)
        try:
            (store.free if unneeded and path.stat().st_mtime < before else store.kept).add(path)
        except FileNotFoundError:  # a run beside this one has finished or thrown it away
            logger.info("%s has vanished", path)
    return store


def _look_for_leftovers(before: float) -> StoreContent:
    """Return the folders beside outputs that killed runs were writing."""
    store = StoreContent("halves of outputs", "")
    for root in sorted({Path(paths.PREPARED.parts[0]), paths.ADAPTERS.parent, paths.METRICS, Path()}):
        pattern = ".*.tmp" if root == Path() else "**/.*.tmp"
        for path in sorted(root.glob(pattern)):
            (store.free if path.stat().st_mtime < before else store.kept).add(path)
    return store


def needed_edits(params: Params) -> Iterator[Path]:
    """Yield the finished pictures, verdicts and pictures for priors of every cell of the grid."""
    for attribute in params.grid.attributes:
        for feasibility in params.grid.feasibilities:
            cell = plan_cell(params, attribute, feasibility)
            yield from cell.run.finished(cell.jobs, cell.specs)


def needed_fine_tunings(params: Params) -> Iterator[Path]:
    """Yield the finished fine-tunings of the grid, and the checkpoints of those that are not finished."""
    grid, store = params.grid, FolderStore("train")
    plans = [fine_tunings(read_training_set(params, None), ["real"], grid.seeds)]
    for attribute, condition in [*itertools.product(grid.attributes, grid.conditions), *grid.control_cells()]:
        training = read_training_set(params, paths.mix_folder(attribute, condition))
        plans.append(fine_tunings(training, grid.sources, grid.seeds))
    for item in (item for plan in plans for item in plan):
        yield kept.path if (kept := store.get(item.key)) else store.unfinished(item.key)


def needed_predictions(params: Params) -> Iterator[Path]:
    """Yield the predictions of every model of the grid, and the known zero-shot accuracy measured again."""
    evaluated, info = cells(params.grid), read_json(paths.DATASET_INFO)
    check_adapters(evaluated)
    test = read_test_split(params, info)
    keys = [item.key for item in plan_predictions(test, evaluated)]
    anchor = params.evaluate.anchor(params.clip.model, params.clip.pretrained, len(test.photos))
    if anchor is not None:
        from varireal.evaluation.anchors import anchor_key  # loads torch

        keys.append(anchor_key(test, anchor, info["classes"]))
    yield from _kept("evaluate", keys)


def needed_measurements(params: Params) -> Iterator[Path]:
    """Yield what was measured of the photos and of every cell's edits."""
    yield from _kept("measure", [group.key for group in plan_measuring(params).groups])


def needed_pixels(params: Params) -> Iterator[Path]:
    """Yield the packs of decoded pictures that hold a photo or an edit of the grid."""
    manifests = [paths.PHOTOS_MANIFEST] + [
        paths.edit_folder(attribute, feasibility) / "manifest.parquet"
        for attribute in params.grid.attributes
        for feasibility in params.grid.feasibilities
    ]
    pictures = {record.sha256 for manifest in manifests for record in iterate_manifest(manifest)}
    for index in work_root().glob(f"{PIXELS}*/*/*/index.json"):
        if not pictures.isdisjoint(read_json(index)["sha256"]):
            yield index.parent


def _kept(store: str, keys: list[str]) -> Iterator[Path]:
    yield from (kept.path for kept in FolderStore(store).find(keys) if kept is not None)


FINDERS: dict[str, Callable[[Params], Iterator[Path]]] = {
    "edit": needed_edits,
    "verdict": needed_edits,
    "priors": needed_edits,
    "train": needed_fine_tunings,
    "train-unfinished": needed_fine_tunings,
    "evaluate": needed_predictions,
    "measure": needed_measurements,
    PIXELS: needed_pixels,
}
KEPT_WHOLE = {
    "prompt": "answers that were paid for",
    "segment": "masks, which are small",
    "preview": "which edits a preview made, and what it measured",
    "tried": "which classifiers answered before edits were made",
    "times": "how long stages take, for what is left of a run",
}
