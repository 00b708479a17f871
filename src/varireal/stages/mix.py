"""`varireal mix`: choose the synthetic training set of one attribute and condition."""

from __future__ import annotations

import logging
from pathlib import Path

import click

from varireal import paths
from varireal.base.files import read_mapping, staged_folder, write_json
from varireal.base.manifest import ATTRIBUTES, Attribute, Feasibility
from varireal.cli import cell_option, condition_option, stage_options
from varireal.config import Params
from varireal.config.controls import dose
from varireal.training.controls import label_wrongly, wrong_classes
from varireal.training.mixing import choose_from_manifests, describe, write_mix

logger = logging.getLogger(__name__)


@click.command()
@stage_options
@cell_option("attribute", ATTRIBUTES, "What the edits change.")
@condition_option("Which kinds of edits the set holds, or which control it is.", required=True)
def command(params: Params, attribute: Attribute, condition: str) -> None:
    """Choose the edits that one condition or control trains on.

    Every condition of an attribute gets the same number of images of each class; mix.ratio is the share of
    infeasible ones in the condition mixed. A control of harm has the edits of the condition feasible, some of them with
    wrong labels; the null controls are two draws of one mixture.
    """
    classes = read_mapping(paths.DATASET_INFO, "classes")["classes"]
    manifests: dict[Feasibility, Path] = {
        feasibility: paths.edit_folder(attribute, feasibility) / "manifest.parquet"
        for feasibility in params.grid.feasibilities
    }
    chosen = choose_from_manifests(manifests, classes, attribute, condition, params.mix, params.seed)
    figures = describe(chosen, classes)
    with staged_folder(paths.mix_folder(attribute, condition)) as folder:
        write_mix(folder / "manifest.parquet", manifests, chosen)
        if share := dose(condition):
            wrong = wrong_classes(chosen, classes, share, params.seed)
            label_wrongly(folder / "manifest.parquet", wrong, classes)
            figures |= {"wrong_labels": len(wrong), "wrong_label_share": len(wrong) / len(chosen)}
    write_json(paths.METRICS / "mix" / f"{attribute}_{condition}.json", figures)
    logger.info("%s %s: %d images of %d photos", attribute, condition, figures["images"], figures["photos"])
