"""One part of `varireal doctor --calibrate`, in a process of its own, as DVC runs a stage. Not for use by hand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from varireal.base.files import write_json
from varireal.base.manifest import ATTRIBUTES, FEASIBILITIES
from varireal.cli import stage_options
from varireal.doctor.parts import time_edits, time_masks, time_training
from varireal.doctor.sample import RESULT

if TYPE_CHECKING:
    from varireal.base.manifest import Attribute, Feasibility
    from varireal.config import Params


@click.command("calibration")
@stage_options
@click.argument("part", type=click.Choice(["masks", "edits", "training"]))
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option("--attribute", type=click.Choice(ATTRIBUTES))
@click.option("--feasibility", type=click.Choice(FEASIBILITIES))
def command(
    params: Params, part: str, folder: Path, attribute: Attribute | None, feasibility: Feasibility | None
) -> None:
    """Clock a part of a run on the sample in the folder, and write RESULT there."""
    if part == "masks":
        result = time_masks(params, folder)
    elif part == "training":
        result = time_training(params, folder)
    elif attribute is None or feasibility is None:
        raise click.UsageError("edits needs --attribute and --feasibility")
    else:
        result = time_edits(params, folder, attribute, feasibility)
    write_json(folder / RESULT, result)
