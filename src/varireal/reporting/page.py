"""The page: one HTML file without anything from outside, for light and dark, wide and narrow screens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from varireal.evaluation.comparisons import Verdict
from varireal.manifest import SPLITS
from varireal.reporting import verdicts as verdict_texts
from varireal.reporting.chart import Chart
from varireal.reporting.gallery import Example
from varireal.reporting.provenance import Provenance
from varireal.reporting.results import Results
from varireal.reporting.table import Row
from varireal.reporting.words import signed, with_spread


def render_page(
    *,
    dataset: dict[str, Any],
    results: Results,
    rows: Sequence[Row],
    sentences: Sequence[str],
    verdicts: Sequence[Verdict],
    margin: float,
    charts: Sequence[Chart],
    examples: dict[tuple[str, str], list[Example]],
    params: str,
    made: Provenance,
) -> str:
    """Return the page as HTML; every text is escaped.

    Args:
        dataset: data/prepared/dataset.json.
        margin: points of top-1 below which a difference does not matter.
        examples: the edits to show, by attribute and feasibility.
        params: params.yaml as it was read.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("varireal.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(signed=signed, with_spread=with_spread)
    for name in ("versus", "interval_words", "verdict_words", "p_words"):
        environment.filters[name] = getattr(verdict_texts, name)
    return environment.get_template("report.html.j2").render(
        dataset=dataset,
        splits={split: sum(dataset["counts"][split].values()) for split in SPLITS},
        results=results,
        rows=rows,
        sentences=sentences,
        headline=verdict_texts.headline(verdicts, margin),
        verdicts=verdicts,
        questions=verdict_texts.QUESTIONS,
        margin=margin,
        charts=charts,
        examples=examples,
        attributes=list(dict.fromkeys(attribute for attribute, _ in examples)),
        feasibilities=list(dict.fromkeys(feasibility for _, feasibility in examples)),
        params=params,
        made=made,
    )
