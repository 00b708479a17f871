"""The page: one HTML file without anything from outside, for light and dark, wide and narrow screens."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from varireal.base.manifest import SPLITS
from varireal.evaluation.comparisons import Verdict
from varireal.rating.agreement import agreement_grids
from varireal.reporting.answers import READING, Answer, answers
from varireal.reporting.classes import ClassTable
from varireal.reporting.controls import QUESTION, controls_answer
from varireal.reporting.curves import MEASURES, build_curves
from varireal.reporting.data import (
    SHAPES,
    build_data_plots,
    causes_grid,
    data_grid,
    edits_grid,
    mixes_grid,
    strength_words,
)
from varireal.reporting.dose import DoseResponse, dose_headline
from varireal.reporting.dose_drawing import build_dose_plots
from varireal.reporting.gallery import Example
from varireal.reporting.provenance import Provenance
from varireal.reporting.results import Results
from varireal.reporting.strips import Panel, build_charts, build_forest
from varireal.reporting.table import Row, results_grid
from varireal.reporting.verdicts import TITLES, verdict_grid
from varireal.reporting.words import signed
from varireal.tables import Grid

if TYPE_CHECKING:
    from jinja2 import Environment

CHOSEN = (
    "Chosen by seed, not by looks: accepted edits, and exhausted ones (no attempt passed the filter; shown is the best "
    "of them). Attempts that were rejected are listed with their scores, and with their pictures where "
    "edit.save_rejected kept them."
)
FILTERS = ("class_name", "attribute", "feasibility", "status")  # fields of an example that the gallery filters by


@dataclasses.dataclass(frozen=True)
class QuestionSection:
    """One question of the study, or one kind of control: its comparisons drawn, and as a table."""

    title: str
    answer: Answer | None  # controls have one answer together
    panels: list[Panel]
    grid: Grid


def render_page(
    *,
    dataset: dict[str, Any],
    results: Results,
    rows: Sequence[Row],
    verdicts: Sequence[Verdict],
    margin: float,
    classes: Sequence[ClassTable],
    examples: Sequence[Example],
    params: str,
    clip: str,
    made: Provenance,
    caveats: Sequence[str] = (),
    dose: DoseResponse | None = None,
    ratings: Mapping[str, Any] | None = None,
) -> str:
    """Return the page as HTML; every text is escaped, and a browser that reads it runs no script but the page's own.

    Args:
        dataset: data/prepared/dataset.json.
        margin: points of top-1 below which a difference does not matter.
        examples: the edits to show.
        params: params.yaml as it was read.
        clip: name of the CLIP that the data were measured with.
        caveats: sentences that stand before the answers.
        dose: the sweep of this study, if there was one.
        ratings: metrics/ratings.json, if people have rated edits.
    """
    environment = page_environment()
    script = environment.get_template("script.js.j2").render()
    return environment.get_template("report.html.j2").render(
        dataset=dataset,
        splits={split: sum(dataset["counts"][split].values()) for split in SPLITS},
        results=results,
        controls=controls_answer(verdicts, margin),
        controls_question=QUESTION,
        caveats=caveats,
        questions=_questions(verdicts, margin),
        margin=margin,
        reading=READING,
        charts=build_charts(rows),
        table=results_grid(rows),
        curves={title: build_curves(results, measure) for measure, title in MEASURES.items()},
        classes=classes,
        examples=examples,
        words=CHOSEN,
        choices={field: list(dict.fromkeys(getattr(each, field) for each in examples)) for field in FILTERS},
        edits=edits_grid(results),
        mixes=mixes_grid(results),
        params=params,
        data=_data(results, verdicts, clip),
        made=made,
        dose=_dose(dose),
        ratings=ratings and {"grid": agreement_grids(ratings)[0], "left_out": ratings["left_out"]},
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _data(results: Results, verdicts: Sequence[Verdict], clip: str) -> dict[str, Any]:
    plots = build_data_plots(results, verdicts)
    attributes = dict.fromkeys(attribute for attribute, _ in results.measured)
    return {
        "clip": clip,
        "grid": data_grid(results),
        "strength": strength_words(results),
        "plots": {source: [p for p in plots if p.title == source] for source in dict.fromkeys(p.title for p in plots)},
        "shapes": dict(zip(attributes, SHAPES)),
        "causes": causes_grid(results),
    }


def _dose(sweep: DoseResponse | None) -> dict[str, Any] | None:
    return sweep and {"sweep": sweep, "plots": build_dose_plots(sweep), "headline": dose_headline(sweep)}


def _questions(verdicts: Sequence[Verdict], margin: float) -> list[QuestionSection]:
    by_family = {answer.family: answer for answer in answers(verdicts, margin)}
    sections = []
    for family, title in TITLES.items():
        if own := [verdict for verdict in verdicts if verdict.comparison.family == family]:
            panels = build_forest(verdicts, family, margin)
            sections.append(QuestionSection(title, by_family.get(family), panels, verdict_grid(own, margin)))
    return sections


def page_environment() -> Environment:
    """Return jinja2 with the templates of pages, which escapes every text."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("varireal.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["signed"] = signed
    return environment
