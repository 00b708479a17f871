"""`varireal train`: fine-tune CLIP with LoRA for one cell of the grid, or on real photos only."""

from __future__ import annotations

import click

from varireal import paths
from varireal.base.files import staged_folder, write_json
from varireal.base.manifest import ATTRIBUTES
from varireal.cli import condition_option, stage_options
from varireal.compute.processes import is_first
from varireal.config import Params
from varireal.store import FolderStore
from varireal.training.plan import fine_tunings, metrics, read_training_set, write_adapters
from varireal.training.run import finish_fine_tunings


@click.command()
@stage_options
@click.option("--attribute", type=click.Choice(ATTRIBUTES), help="What the edits of the cell change.")
@condition_option("Which kinds of edits the cell trains on, or which control it is.", required=False)
@click.option("--real-only", is_flag=True, help="Train the baseline on real photos, in place of a cell.")
def command(params: Params, attribute: str | None, condition: str | None, real_only: bool) -> None:
    """Fine-tune CLIP with LoRA, once for every training source and seed of the grid.

    The best step is chosen on the split val; finished fine-tunings are kept, so a killed run goes on where it was.
    """
    if real_only == bool(attribute or condition) or bool(attribute) != bool(condition):
        raise click.UsageError("give --attribute and --condition, or --real-only")
    name = "real" if real_only else f"{attribute}_{condition}"
    training_set = read_training_set(params, None if real_only else paths.mix_folder(str(attribute), str(condition)))
    plan = fine_tunings(training_set, ["real"] if real_only else params.grid.sources, params.grid.seeds)
    store = FolderStore("train")
    finish_fine_tunings(training_set, plan, store, name)
    if is_first():
        about = {"attribute": attribute, "condition": condition, **training_set.description()}
        with staged_folder(paths.ADAPTERS / name) as staging:
            write_adapters(staging, plan, store, about)
        write_json(paths.METRICS / "train" / f"{name}.json", metrics(plan, store))
