"""`varireal prompt`: the validated attributes of each class and feasibility."""

from __future__ import annotations

import click

from varireal import layout
from varireal.config import Params
from varireal.stages.common import stage_options


@click.command("prompt")
@stage_options
def command(params: Params) -> None:
    """Write the lists of attributes of every class to data/prompts/prompts.json.

    Reads `prompt` of params.yaml and the classes in data/prepared/dataset.json; the lists that `grid` needs must
    be there.
    """
    from varireal.errors import UserError
    from varireal.io import read_json, write_json
    from varireal.prompts import SOURCES

    source = SOURCES[params.prompt.source](params.prompt)
    info = read_json(layout.DATASET_INFO)
    if not {"classes", "domain_word"} <= set(info):
        raise UserError(f"{layout.DATASET_INFO} has no classes or no domain word; make it anew with dvc repro")
    needed = dict.fromkeys(params.grid.attributes, params.grid.feasibilities)
    write_json(layout.PROMPTS, source.table(info["classes"], info["domain_word"], needed).to_json())


if __name__ == "__main__":
    from varireal.cli import run_command

    run_command(command)
