"""`varireal edit`: the edits of one attribute and feasibility."""

from __future__ import annotations

import logging

import click

from varireal import paths
from varireal.base.files import staged_folder, write_json
from varireal.base.manifest import ATTRIBUTES, FEASIBILITIES, Attribute, Feasibility
from varireal.cli import cell_option, stage_options
from varireal.config import Params
from varireal.editing.cell import plan_cell
from varireal.editing.trial import try_classifier

logger = logging.getLogger(__name__)


@click.command("edit")
@stage_options
@cell_option("attribute", ATTRIBUTES, "What the edits change.")
@cell_option("feasibility", FEASIBILITIES, "Which kind of values they get.")
def command(params: Params, attribute: Attribute, feasibility: Feasibility) -> None:
    """Edit the training photos: another background, color or texture, and every other pixel as it was.

    Photos without a usable mask are left out and named in the metrics. Finished edits are kept by content key in
    .work/, so that a run that was stopped goes on where it was.
    """
    name, final = f"{attribute} {feasibility}", paths.edit_folder(attribute, feasibility)
    cell = plan_cell(params, attribute, feasibility)
    try_classifier(params)
    cell.make(name)  # all are finished before the first is written, so that a kill leaves no half of a cell behind
    with staged_folder(final) as staging:
        figures = cell.write(name, staging, final, params.edit)
    write_json(paths.METRICS / "edit" / f"{attribute}_{feasibility}.json", figures)
    logger.info("%s: %d edits, %d accepted", name, figures["edits"], figures["accepted"])
