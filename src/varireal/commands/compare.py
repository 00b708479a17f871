"""`varireal compare`: two experiments side by side. Not part of the pipeline: it reads results and writes none."""

from __future__ import annotations

from typing import Any

import click

from varireal import paths


@click.command()
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@click.option(
    "--margin",
    type=click.FloatRange(min=0, min_open=True),
    help="Points of top-1 within which a difference does not matter.  "
    "[default: report.margin of params.yaml here, 0.3 without one]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
def command(first: str, second: str, margin: float | None, as_json: bool) -> None:
    """Compare experiments A and B: every model that both have, on the same test photos.

    A and B are each a folder (a checkout with data/predictions in it), a predictions.parquet file, or else a DVC
    experiment or git revision of this repository, whose predictions DVC's cache must hold. Differences are A − B, seed
    by seed and photo by photo, with their 95 % interval over photos and seeds; verdicts are corrected for the number
    of models (Holm). Not a stage of the pipeline: nothing is written.
    """
    from varireal.base.files import json_bytes
    from varireal.reporting import side_by_side
    from varireal.reporting.experiments import read_experiment
    from varireal.reporting.terminal import results_console

    margin = _margin() if margin is None else margin
    found = side_by_side.compare(read_experiment(first), read_experiment(second), margin)
    if as_json:
        click.echo(json_bytes(side_by_side.as_json(found)), nl=False)
        return
    console = results_console()
    for part in (*side_by_side.tables(found), *side_by_side.summary_lines(found)):
        options: dict[str, Any] = {"highlight": False, "markup": False} if isinstance(part, str) else {}
        console.print(part, **options)


def _margin() -> float:
    from varireal.config import ReportConfig, load_params

    return load_params(paths.PARAMS).report.margin if paths.PARAMS.is_file() else ReportConfig().margin
