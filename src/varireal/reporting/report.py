"""Everything that the stage `report` writes and prints, from what the stages before it left on disk."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from varireal import paths
from varireal.base.files import json_bytes, read_mapping
from varireal.base.manifest import ImageRecord, read_manifest
from varireal.evaluation.comparisons import Verdict, comparisons, grid_models, judge, right_answers
from varireal.evaluation.controls import believed
from varireal.evaluation.predictions import read_predictions
from varireal.evaluation.statistics import crossed_mean
from varireal.reporting.answers import all_sentences, chance_words, headline
from varireal.reporting.classes import build_class_tables
from varireal.reporting.data import data_grid, strength_words
from varireal.reporting.dose import read_dose_response
from varireal.reporting.figures import edits_sheet, intervals_figure, strip_figure
from varireal.reporting.gallery import Example, build_examples, choose_examples
from varireal.reporting.glance import study_figures, study_yaml
from varireal.reporting.page import render_page
from varireal.reporting.provenance import provenance
from varireal.reporting.results import read_results
from varireal.reporting.table import build_rows, curves_csv, summary, table_csv, table_json, terminal_grid
from varireal.reporting.verdicts import TITLES, verdict_grids, verdicts_json
from varireal.tables import Grid, plain_table

if TYPE_CHECKING:
    from varireal.config import GridConfig, Params

EditsByCell = dict[tuple[str, str], list[ImageRecord]]  # by attribute and feasibility, in the order of the grid

ON_A_SHEET = 8  # edits of a kind


@dataclasses.dataclass(frozen=True)
class StudyReport:
    """What a study comes to: files to write, and tables and sentences for the terminal."""

    metrics: dict[Path, bytes]
    files: dict[str, bytes]  # of the folder reports, by their paths in it
    grids: list[Grid]  # every table
    headline: list[str]  # the answers, a few lines
    sentences: list[str]  # the answers, all that there is to say


def build_report(params: Params) -> StudyReport:
    """Gather the results of the grid and judge, draw and describe them.

    Raises:
        UserError: a result, a prediction or a picture is missing or unreadable.
    """
    grid, margin = params.grid, params.report.margin
    results = read_results(grid)
    dataset = {**read_mapping(paths.DATASET_INFO, "name", "classes", "domain_word"), "name": params.study_name}
    rows, made = build_rows(results), provenance()
    predictions = read_predictions(paths.PREDICTIONS, grid_models(grid))
    right = right_answers(predictions, grid)
    verdicts = believed(judge(comparisons(grid), right, margin, params.seed))
    edits = _read_edits(grid)
    grids = [
        terminal_grid(rows, dataset["name"]),
        dataclasses.replace(data_grid(results), title="The data, measured"),
        *verdict_grids(verdicts, margin),
    ]
    accuracies = {model: crossed_mean(answers) for model, answers in right.items()}
    guessing = chance_words(accuracies, len(dataset["classes"]))
    caveats = [*guessing, *strength_words(results)]
    told = all_sentences(verdicts, margin, caveats)
    page = render_page(
        dataset=dataset,
        results=results,
        rows=rows,
        verdicts=verdicts,
        margin=margin,
        classes=build_class_tables(predictions, grid, dataset["classes"]),
        examples=_examples(params, edits),
        params=_as_yaml(params),
        clip=params.measure.network(params.clip).model,
        made=made,
        caveats=caveats,
        dose=read_dose_response(paths.SWEEP, params),
        ratings=_ratings(),
    )
    return StudyReport(
        metrics={
            paths.STUDY: study_yaml(study_figures(rows, verdicts, params)).encode(),
            paths.METRICS / "table.json": json_bytes(table_json(rows, verdicts)),
            paths.METRICS / "table.csv": table_csv(rows).encode(),
            paths.METRICS / "plots" / "curves.csv": curves_csv(results).encode(),
            paths.VERDICTS: json_bytes(verdicts_json(verdicts, accuracies, margin)),
        },
        files={
            paths.PAGE.name: page.encode(),
            paths.SUMMARY.name: summary(rows, verdicts, margin).encode(),
            paths.TABLES.name: "\n".join([*told, "", *map(plain_table, grids)]).encode(),
            paths.PROVENANCE.name: json_bytes(dataclasses.asdict(made)),
            **_figures(verdicts, margin),
            **_sheets(edits, params.seed),
        },
        grids=grids,
        headline=headline(verdicts, margin, caveats),
        sentences=told,
    )


def _ratings() -> dict[str, Any] | None:
    """Return what people rated; None where nobody did.

    Raises:
        UserError: the file holds something else.
    """
    remedy = "make it anew with `varireal ratings`"
    if not paths.RATINGS.is_file() or not read_mapping(paths.RATINGS, remedy=remedy):
        return None
    return read_mapping(paths.RATINGS, "attributes", "all", "raters", "left_out", remedy=remedy)


def _read_edits(grid: GridConfig) -> EditsByCell:
    return {
        (attribute, feasibility): read_manifest(paths.edit_folder(attribute, feasibility) / "manifest.parquet")
        for attribute in grid.attributes
        for feasibility in grid.feasibilities
    }


def _examples(params: Params, by_cell: EditsByCell) -> list[Example]:
    """Return the edits that the page shows, for every attribute and feasibility of the grid."""
    chosen = []
    for edits in by_cell.values():
        chosen += choose_examples(edits, "accepted", params.report.examples, params.seed)
        chosen += choose_examples(edits, "exhausted", params.report.exhausted_examples, params.seed)
    return build_examples(chosen)


def _figures(verdicts: list[Verdict], margin: float) -> dict[str, bytes]:
    drawn = {
        f"figures/{family}.png": intervals_figure(verdicts, family, margin)
        for family in TITLES
        if any(verdict.comparison.family == family for verdict in verdicts)
    }
    strip = strip_figure(verdicts, margin)
    return drawn if strip is None else {**drawn, "figures/strip.png": strip}


def _sheets(by_cell: EditsByCell, seed: int) -> dict[str, bytes]:
    """Return a sheet of edits for every attribute, with a block for every feasibility."""
    rows: dict[str, list[tuple[str, list[ImageRecord]]]] = {}
    for (attribute, feasibility), edits in by_cell.items():
        chosen = choose_examples(edits, "accepted", ON_A_SHEET, seed)
        rows.setdefault(attribute, []).append((f"{attribute} {feasibility}", chosen))
    return {f"sheets/{attribute}.jpg": edits_sheet(own) for attribute, own in rows.items()}


def _as_yaml(params: Params) -> str:
    import yaml

    return yaml.safe_dump(params.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
