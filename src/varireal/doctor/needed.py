"""Which finished work the current settings and data need, store by store: what the stages would look up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from varireal import paths
from varireal.store import FolderStore

if TYPE_CHECKING:
    from varireal.config import Params

PIXELS = "pixels-"  # how the names of the stores of decoded pictures begin


def of_edits(params: Params) -> Iterator[Path]:
    """Yield the finished pictures, verdicts and pictures for priors of every cell of the grid."""
    from varireal.editing.cell import plan_cell

    for attribute in params.grid.attributes:
        for feasibility in params.grid.feasibilities:
            jobs, _, specs, run = plan_cell(params, attribute, feasibility)
            yield from run.finished(jobs, specs)


def of_trainings(params: Params) -> Iterator[Path]:
    """Yield the finished fine-tunings of the grid, and the checkpoints of those that are not finished."""
    from varireal.training.plan import fine_tunings, read_training_set

    grid, store = params.grid, FolderStore("train")
    plans = [fine_tunings(read_training_set(params, None), ["real"], grid.seeds)]
    for attribute in grid.attributes:
        for condition in grid.conditions:
            study = read_training_set(params, paths.mix_folder(attribute, condition))
            plans.append(fine_tunings(study, grid.sources, grid.seeds))
    for item in (item for plan in plans for item in plan):
        yield kept.path if (kept := store.get(item.key)) else store.unfinished(item.key)


def of_evaluate(params: Params) -> Iterator[Path]:
    """Yield the predictions of every model of the grid, and the known zero-shot accuracy measured again."""
    from varireal.base.files import read_json
    from varireal.evaluation.cells import cells, check_adapters
    from varireal.evaluation.plan import plan_predictions, read_test_split

    evaluated, info = cells(params.grid), read_json(paths.DATASET_INFO)
    check_adapters(evaluated)
    test = read_test_split(params, info)
    keys = [item.key for item in plan_predictions(test, evaluated)]
    anchor = params.evaluate.anchor(params.clip.model, params.clip.pretrained, len(test.photos))
    if anchor is not None:
        from varireal.evaluation.anchors import anchor_key

        keys.append(anchor_key(test, anchor, info["classes"]))
    yield from _kept("evaluate", keys)


def of_measure(params: Params) -> Iterator[Path]:
    """Yield what was measured of the photos and of every cell's edits."""
    from varireal.measuring.plan import plan_measuring

    yield from _kept("measure", [group.key for group in plan_measuring(params).groups])


def of_pixels(params: Params) -> Iterator[Path]:
    """Yield the packs of decoded pictures that hold a photo or an edit of the grid."""
    from varireal.base.files import read_json
    from varireal.base.manifest import iterate_manifest
    from varireal.store import work_root

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


NEEDED: dict[str, Callable[[Params], Iterator[Path]]] = {
    "edit": of_edits,
    "verdict": of_edits,
    "priors": of_edits,
    "train": of_trainings,
    "train-unfinished": of_trainings,
    "evaluate": of_evaluate,
    "measure": of_measure,
    PIXELS: of_pixels,
}
KEPT_WHOLE = {"prompt": "answers that were paid for", "segment": "masks, which are small"}
