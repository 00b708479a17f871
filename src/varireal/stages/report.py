"""`varireal report`: the table, the verdicts, the page with pictures, and a run in MLflow for every cell."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import click

from varireal import paths
from varireal.cli import stage_options
from varireal.commands.track import log_results

if TYPE_CHECKING:
    from varireal.config import Params
    from varireal.evaluation.comparisons import Verdict
    from varireal.reporting.gallery import Example

ON_A_SHEET = 8  # edits of a kind


@click.command("report")
@stage_options
def command(params: Params) -> None:
    """Print the study's table and verdicts and write them with the page; then log every cell of the grid to MLflow.

    Cells are those that `grid` of params.yaml names. The results are on disk before MLflow is asked, and a
    store that cannot be reached costs a warning only.
    """
    from varireal.base.files import atomic_write_bytes, read_json, staged_folder, write_json
    from varireal.evaluation.comparisons import comparisons, grid_models, judge, right_answers
    from varireal.evaluation.predictions import read_predictions
    from varireal.evaluation.statistics import crossed_mean
    from varireal.reporting.classes import build_class_tables
    from varireal.reporting.data import data_table
    from varireal.reporting.dose import read_dose_response
    from varireal.reporting.page import render_page
    from varireal.reporting.provenance import provenance
    from varireal.reporting.results import read_results
    from varireal.reporting.summary import summary
    from varireal.reporting.table import build_rows, curves_csv, table_csv, table_json
    from varireal.reporting.terminal import results_console, terminal_table
    from varireal.reporting.verdicts import headline, verdicts_json, verdicts_tables

    results = read_results(params.grid)
    dataset = read_json(paths.DATASET_INFO)
    rows, made = build_rows(results), provenance()
    predictions, margin = read_predictions(paths.PREDICTIONS, grid_models(params.grid)), params.report.margin
    answers = right_answers(predictions, params.grid)
    verdicts = judge(comparisons(params.grid), answers, margin, params.seed)
    page = render_page(
        dataset=dataset,
        results=results,
        rows=rows,
        verdicts=verdicts,
        margin=margin,
        classes=build_class_tables(predictions, params.grid, dataset["classes"]),
        examples=_examples(params),
        params=_as_yaml(params),
        clip=params.measure.network(params.clip).model,
        made=made,
        dose=read_dose_response(paths.SWEEP, params),
        ratings=read_json(paths.RATINGS) if paths.RATINGS.is_file() else None,
    )
    write_json(paths.METRICS / "table.json", table_json(rows, verdicts))
    atomic_write_bytes(paths.METRICS / "table.csv", table_csv(rows).encode())
    atomic_write_bytes(paths.METRICS / "plots" / "curves.csv", curves_csv(results).encode())
    accuracies = {model: crossed_mean(right) for model, right in answers.items()}
    write_json(paths.VERDICTS, verdicts_json(verdicts, accuracies, margin))
    with staged_folder(paths.REPORTS) as folder:
        atomic_write_bytes(folder / paths.PAGE.name, page.encode())
        atomic_write_bytes(folder / paths.SUMMARY.name, summary(rows, verdicts, margin).encode())
        write_json(folder / paths.PROVENANCE.name, dataclasses.asdict(made))
        for name, picture in _pictures(params, verdicts).items():
            atomic_write_bytes(folder / name, picture)

    console = results_console()
    console.print(terminal_table(rows, dataset["name"]))
    console.print(data_table(results))
    for table in verdicts_tables(verdicts, margin):
        console.print(table)
    for line in headline(verdicts, margin):
        console.print(line, highlight=False)
    console.print(f"Page with pictures: {paths.PAGE}", highlight=False)
    log_results(params)


def _pictures(params: Params, verdicts: list[Verdict]) -> dict[str, bytes]:
    """Return the figures and sheets that go beside the page and into MLflow, by their paths there."""
    from varireal.base.manifest import read_manifest
    from varireal.reporting.figures import edits_sheet, intervals_figure
    from varireal.reporting.gallery import choose_examples

    families = dict.fromkeys(verdict.comparison.family for verdict in verdicts)
    found = {f"figures/{f}.png": intervals_figure(verdicts, f, params.report.margin) for f in families}
    for attribute in params.grid.attributes:
        rows = []
        for feasibility in params.grid.feasibilities:
            edits = read_manifest(paths.edit_folder(attribute, feasibility) / "manifest.parquet")
            rows.append((f"{attribute} {feasibility}", choose_examples(edits, "accepted", ON_A_SHEET, params.seed)))
        found[f"sheets/{attribute}.jpg"] = edits_sheet(rows)
    return found


def _examples(params: Params) -> list[Example]:
    """Return the edits that the page shows, for every attribute and feasibility of the grid."""
    from varireal.base.manifest import read_manifest
    from varireal.reporting.gallery import build_examples, choose_examples

    chosen = []
    for attribute in params.grid.attributes:
        for feasibility in params.grid.feasibilities:
            edits = read_manifest(paths.edit_folder(attribute, feasibility) / "manifest.parquet")
            chosen += choose_examples(edits, "accepted", params.report.examples, params.seed)
            chosen += choose_examples(edits, "exhausted", params.report.exhausted_examples, params.seed)
    return build_examples(chosen)


def _as_yaml(params: Params) -> str:
    import yaml

    return yaml.safe_dump(params.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
