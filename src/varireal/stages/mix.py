"""`varireal mix`: choose the synthetic training set of one attribute and condition."""

from __future__ import annotations

import contextlib
import gc
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from varireal import paths
from varireal.base.manifest import ATTRIBUTES, CONDITIONS
from varireal.cli import cell_option, stage_options

if TYPE_CHECKING:
    from varireal.base.manifest import Attribute, Condition
    from varireal.config import Params

logger = logging.getLogger(__name__)


@click.command()
@stage_options
@cell_option("attribute", ATTRIBUTES, "What the edits change.")
@cell_option("condition", CONDITIONS, "Which kinds of edits the set holds.")
def command(params: Params, attribute: Attribute, condition: Condition) -> None:
    """Choose the edits that one condition trains on.

    Every condition of an attribute gets the same number of images of each class; mix.ratio is the share of
    infeasible ones in the condition mixed.
    """
    from varireal.base.files import read_json, staged_folder, write_json
    from varireal.base.manifest import copy_rows, usable
    from varireal.training.mixing import candidates, choose, describe

    classes = read_json(paths.DATASET_INFO)["classes"]
    manifests = {
        feasibility: paths.edit_folder(attribute, feasibility) / "manifest.parquet"
        for feasibility in params.grid.feasibilities
    }
    with _without_collection():
        edits = {name: usable(candidates(path), params.mix.include_exhausted) for name, path in manifests.items()}
        chosen = choose(
            edits, classes, attribute, params.mix.share(condition), params.mix.images_per_class, params.seed
        )
        chosen.sort(key=lambda candidate: candidate.image_id)
    sources = list(manifests)
    with staged_folder(paths.mix_folder(attribute, condition)) as folder:
        copy_rows(
            folder / "manifest.parquet",
            list(manifests.values()),
            [(sources.index(candidate.feasibility), candidate.row) for candidate in chosen],
        )
    figures = describe(chosen, classes)
    write_json(paths.METRICS / "mix" / f"{attribute}_{condition}.json", figures)
    logger.info("%s %s: %d images of %d photos", attribute, condition, figures["images"], figures["photos"])


@contextlib.contextmanager
def _without_collection() -> Iterator[None]:
    """Look for no cycles in the block: candidates have none, and among a million of them the search takes seconds."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()
