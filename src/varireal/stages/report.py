"""`varireal report`: the table, the verdicts, the page with pictures, and a run in MLflow for every cell."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import click

from varireal import layout
from varireal.stages.common import stage_options

if TYPE_CHECKING:
    from varireal.config import Params
    from varireal.reporting.gallery import Example
    from varireal.reporting.provenance import Provenance
    from varireal.reporting.results import Results

logger = logging.getLogger(__name__)


@click.command("report")
@stage_options
def command(params: Params) -> None:
    """Print the study's table and verdicts and write them with the page; then log every cell of the grid to MLflow.

    Cells are those that `grid` of params.yaml names. The results are on disk before MLflow is asked, and a
    store that cannot be reached costs a warning only.
    """
    from varireal.evaluation.comparisons import comparisons, judge, read_answers
    from varireal.evaluation.statistics import crossed_mean
    from varireal.io import atomic_write_bytes, read_json, staged_folder, write_json
    from varireal.reporting.chart import build_charts
    from varireal.reporting.page import render_page
    from varireal.reporting.provenance import provenance
    from varireal.reporting.results import read_results
    from varireal.reporting.table import build_rows, contrasts, curves_csv, table_csv, table_json
    from varireal.reporting.terminal import results_console, terminal_table
    from varireal.reporting.verdicts import headline, verdict_metrics, verdicts_json, verdicts_tables
    from varireal.reporting.words import sentences

    results = read_results(params.grid)
    dataset = read_json(layout.DATASET_INFO)
    rows, between = build_rows(results), contrasts(results)
    lines, made = sentences(results, rows, between), provenance()
    answers, margin = read_answers(layout.PREDICTIONS, params.grid), params.report.margin
    verdicts = judge(comparisons(params.grid), answers, margin, params.seed)
    page = render_page(
        dataset=dataset,
        results=results,
        rows=rows,
        sentences=lines,
        verdicts=verdicts,
        margin=margin,
        charts=build_charts(rows),
        examples=_examples(params),
        params=_as_yaml(params),
        made=made,
    )
    write_json(layout.METRICS / "table.json", table_json(rows, between))
    atomic_write_bytes(layout.METRICS / "table.csv", table_csv(rows).encode())
    atomic_write_bytes(layout.METRICS / "plots" / "curves.csv", curves_csv(results).encode())
    accuracies = {model: crossed_mean(right) for model, right in answers.items()}
    write_json(layout.METRICS / "verdicts.json", verdicts_json(verdicts, accuracies, margin))
    with staged_folder(layout.REPORTS) as folder:
        atomic_write_bytes(folder / "index.html", page.encode())

    console = results_console()
    console.print(terminal_table(rows, dataset["name"]))
    for table in verdicts_tables(verdicts, margin):
        console.print(table)
    for line in (*headline(verdicts, margin), *lines):
        console.print(line, highlight=False)
    console.print(f"Page with pictures: {layout.REPORTS / 'index.html'}", highlight=False)
    _track(params, dataset["name"], results, made, verdict_metrics(verdicts))


def _examples(params: Params) -> dict[tuple[str, str], list[Example]]:
    """Return the edits that the page shows, for every attribute and feasibility of the grid."""
    from varireal.manifest import read_manifest
    from varireal.reporting.gallery import build_examples, choose_examples

    photos = {photo.image_id: photo for photo in read_manifest(layout.PHOTOS_MANIFEST)}
    chosen = {}
    for attribute in params.grid.attributes:
        for feasibility in params.grid.feasibilities:
            edits = read_manifest(layout.edit_folder(attribute, feasibility) / "manifest.parquet")
            chosen[attribute, feasibility] = choose_examples(edits, params.report.examples, params.seed)
    return build_examples(chosen, photos)


def _as_yaml(params: Params) -> str:
    import yaml

    return yaml.safe_dump(params.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _track(params: Params, dataset: str, results: Results, made: Provenance, verdict_metrics: dict[str, float]) -> None:
    """Log the study to MLflow; a store that cannot be used costs one warning, for the results are on disk."""
    from varireal.io import sha256_file
    from varireal.tracking import TrackingError, log_study

    digest = sha256_file(layout.PHOTOS_MANIFEST)[:36]
    artifacts = {
        "page": layout.REPORTS / "index.html",
        "table": layout.METRICS / "table.csv",
        "verdicts": layout.METRICS / "verdicts.json",
    }
    try:
        where = log_study(params, dataset, digest, results, made, artifacts, verdict_metrics)
    except TrackingError as error:
        logger.warning("MLflow was not used (%s); the results are complete without it", error)
    else:
        click.echo(f"MLflow: {where}")


if __name__ == "__main__":
    from varireal.cli import run_command

    run_command(command)
