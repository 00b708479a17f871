"""`varireal mix`: choose the synthetic training sets of one attribute."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from varireal import paths
from varireal.base.files import read_mapping, staged_folder, write_json
from varireal.base.manifest import ATTRIBUTES, Attribute, Feasibility
from varireal.cli import cell_option, stage_options
from varireal.config import Params
from varireal.config.controls import dose
from varireal.training.controls import label_wrongly, wrong_classes
from varireal.training.mixing import Candidate, choose_from_manifests, describe, write_mix

logger = logging.getLogger(__name__)


@click.command()
@stage_options
@cell_option("attribute", ATTRIBUTES, "What the edits change.")
def command(params: Params, attribute: Attribute) -> None:
    """Choose the edits that every condition and control of an attribute trains on.

    Each of them gets the same number of images of each class; mix.ratio is the share of infeasible ones in the
    condition mixed, the only one that it changes. A control of harm has the edits of the condition feasible, some of
    them with wrong labels; the null controls are two draws of one mixture.
    """
    classes = read_mapping(paths.DATASET_INFO, "classes")["classes"]
    manifests: dict[Feasibility, Path] = {
        feasibility: paths.edit_folder(attribute, feasibility) / "manifest.parquet"
        for feasibility in params.grid.feasibilities
    }
    names = params.grid.mixes(attribute)
    chosen = choose_from_manifests(manifests, classes, attribute, names, params.mix, params.seed)
    figures = {}
    with staged_folder(paths.mixes_folder(attribute)) as folder:
        for name, edits in chosen.items():
            path = folder / name / "manifest.parquet"
            path.parent.mkdir()
            write_mix(path, manifests, edits)
            figures[name] = describe(edits, classes) | _wrong_labels(path, edits, classes, name, params.seed)
            logger.info("%s %s: %d images of %d photos", attribute, name, len(edits), figures[name]["photos"])
    write_json(paths.mixes_figures(attribute), figures)


def _wrong_labels(
    path: Path, edits: Sequence[Candidate], classes: Sequence[str], condition: str, seed: int
) -> dict[str, Any]:
    """Give a control of harm its wrong labels, and return how many they are; nothing of any other condition."""
    if not (share := dose(condition)):
        return {}
    wrong = wrong_classes(edits, classes, share, seed)
    label_wrongly(path, wrong, classes)
    return {"wrong_labels": len(wrong), "wrong_label_share": len(wrong) / len(edits)}
