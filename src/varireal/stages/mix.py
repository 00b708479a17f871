"""`varireal mix`: choose the synthetic training set of one attribute and condition."""

from __future__ import annotations

import contextlib
import gc
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from varireal import layout
from varireal.manifest import ATTRIBUTES, CONDITIONS
from varireal.stages.common import cell_option, stage_options

if TYPE_CHECKING:
    from varireal.config import Params
    from varireal.manifest import Attribute, Condition

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
    from varireal.io import read_json, staged_folder, write_json
    from varireal.manifest import copy_rows
    from varireal.mixing.choose import candidates, choose, describe, usable

    classes = read_json(layout.DATASET_INFO)["classes"]
    manifests = {
        feasibility: layout.edit_folder(attribute, feasibility) / "manifest.parquet"
        for feasibility in params.grid.feasibilities
    }
    with _without_collection():
        edits = {name: usable(candidates(path), params.mix.include_exhausted) for name, path in manifests.items()}
        chosen = choose(
            edits, classes, attribute, params.mix.shares[condition], params.mix.images_per_class, params.seed
        )
        chosen.sort(key=lambda candidate: candidate.image_id)
    sources = list(manifests)
    with staged_folder(layout.mix_folder(attribute, condition)) as folder:
        copy_rows(
            folder / "manifest.parquet",
            list(manifests.values()),
            [(sources.index(candidate.feasibility), candidate.row) for candidate in chosen],
        )
    figures = describe(chosen, classes)
    write_json(layout.METRICS / "mix" / f"{attribute}_{condition}.json", figures)
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


if __name__ == "__main__":
    from varireal.cli import run_command

    run_command(command)
