"""`varireal prompt`: the validated attributes of each class and feasibility."""

from __future__ import annotations

import click

from varireal import paths
from varireal.base.files import staged_folder, write_json
from varireal.cli import stage_options
from varireal.config import Params
from varireal.prompts import SOURCES, read_classes


@click.command("prompt")
@stage_options
def command(params: Params) -> None:
    """Write the lists of attributes of every class to data/prompts/prompts.json.

    Reads `prompt` of params.yaml and the classes in data/prepared/dataset.json; the lists that `grid` needs must
    be there. Lists from a language model come with its answers, with what was dropped, and with tokens and cost; its
    answers are kept in .work/, so that a run that was stopped goes on where it was.
    """
    source = SOURCES[params.prompt.source](params.prompt, params.compute, params.seed)
    classes, domain_word = read_classes(paths.DATASET_INFO)
    table = source.table(classes, domain_word, dict.fromkeys(params.grid.attributes, params.grid.feasibilities))
    table = table.model_copy(update={"sentences": params.prompt.sentences})
    with staged_folder(paths.PROMPTS.parent) as staging:
        write_json(staging / paths.PROMPTS.name, table.to_json())
        for name, document in source.documents().items():
            write_json(staging / name, document)
    if line := source.summary():
        click.echo(line)
