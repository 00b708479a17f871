"""`varireal across`: the study's question for several classifiers and editors. No stage: it reads finished studies."""

from __future__ import annotations

import click

from varireal import paths
from varireal.reporting.across import lines
from varireal.reporting.across_drawing import differences_grid, studies_grid
from varireal.sweeping.across import FIGURES, PAGE, PICTURE, gather, track_across, write_across
from varireal.tables import results_console, rich_table


@click.command()
@click.argument("studies", metavar="[EXPERIMENTS]...", nargs=-1)
@click.option(
    "-A", "--all-commits", is_flag=True, help="Without names: the experiments of all commits, not of HEAD alone."
)
def command(studies: tuple[str, ...], all_commits: bool) -> None:
    """Put the study's question side by side for all classifiers and editors that were run.

    EXPERIMENTS are DVC experiments, git revisions or folders (. is the workspace); without them the workspace and all
    experiments of HEAD, one for each classifier and editor. Only metrics/verdicts.json and dvc.lock are read, which git
    keeps. Studies of another data set, of other photos or by another margin are set apart. Every verdict is its study's
    own; the last lines say what holds for all together.

    Writes across/index.html, with picture and figures beside it, and a run in MLflow.
    """
    across = gather(studies, all_commits=all_commits)
    write_across(across)
    console = results_console()
    for grid in (studies_grid(across), differences_grid(across)):
        console.print(rich_table(grid))
    for line in lines(across):
        console.print(line, highlight=False, markup=False)
    click.echo(f"The page: {paths.ACROSS / PAGE}; beside it {PICTURE} and {FIGURES}")
    if where := track_across(across):
        click.echo(f"MLflow: {where}")
