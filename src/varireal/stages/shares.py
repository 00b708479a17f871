"""`varireal shares`: write the share of infeasible images in each condition."""

from __future__ import annotations

import click

from varireal import paths
from varireal.base.files import staged_folder, write_json
from varireal.base.manifest import CONDITIONS
from varireal.cli import stage_options
from varireal.config import Params


@click.command()
@stage_options
def command(params: Params) -> None:
    """Write the share of infeasible images in each condition, a file each.

    A changed mix.ratio changes the file of the condition mixed alone, so DVC mixes no other condition anew.
    """
    with staged_folder(paths.SHARES) as folder:
        for condition in CONDITIONS:
            write_json(folder / f"{condition}.json", params.mix.share(condition))
