"""`varireal evaluate`: open the test split, the only stage that does, and predict with every model of the grid."""

from __future__ import annotations

import click

from varireal import paths
from varireal.base.files import read_mapping
from varireal.cli import stage_options
from varireal.config import Params
from varireal.evaluation.run import predict, write_evaluation


@click.command()
@stage_options
def command(params: Params) -> None:
    """Predict the test photos with CLIP as it came, the real-only baselines and every cell of the grid.

    Predictions are kept per adapter, so that a changed cell is the only one predicted again.
    """
    info = read_mapping(paths.DATASET_INFO, "classes", "domain_word")
    predicted, gate = predict(params, info)
    write_evaluation(predicted, gate, info["classes"])
