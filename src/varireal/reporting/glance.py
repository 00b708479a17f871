"""The few figures that DVC is told of: `dvc metrics` and `dvc exp show` lay them side by side, so they fit a screen.

Eighteen cells do not fit as a column each. So an attribute is one metric, a block of lines as `metrics/study.yaml` has
them; a line holds a figure for each training source.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import yaml

from varireal.evaluation.comparisons import Family, Verdict
from varireal.reporting.answers import stated_bound
from varireal.reporting.table import Row

if TYPE_CHECKING:
    from varireal.config import Params

HEADINGS = {"synthetic": "alone", "real+synthetic": "+real"}  # trained on edits alone, or with the real photos
BOUNDS: dict[str, Family] = {"differ <": "feasibility", "gain <": "gain"}  # line -> the question that it bounds
HEAD, EMPTY = "top-1", "–"
NARROWEST = len("infeasible")  # so that blocks of a part of the grid look like the others
FIGURE = len("54.2")


def study_figures(rows: Sequence[Row], verdicts: Sequence[Verdict], params: Params) -> dict[str, float | str]:
    """Return the baselines and the study's bound as numbers, and a block of lines for every attribute of the grid.

    Bounds that one seed does not give are left out.
    """
    figures: dict[str, float | str] = {
        row.source.replace("-", "_"): round(row.top1.mean, 1) for row in rows if row.attribute is None
    }
    own = [verdict.family_bound for verdict in verdicts if verdict.comparison.family == "feasibility"]
    if own and own[0] is not None:
        figures["bound"] = _rounded_up(own[0])
    for attribute in params.grid.attributes:
        lines = _cells(rows, attribute, params) | _bounds(verdicts, attribute)
        figures[attribute] = _block(lines, params.grid.sources)
    return figures


def study_yaml(figures: Mapping[str, float | str]) -> str:
    """Return the figures as YAML, with blocks as they are."""
    return yaml.dump(dict(figures), Dumper=_Blocks, sort_keys=False, allow_unicode=True)


def _cells(rows: Sequence[Row], attribute: str, params: Params) -> dict[str, dict[str, float]]:
    """Return top-1 by condition, or control, and source; mixed is called by its ratio, as experiments differ by it."""
    grid = params.grid
    controls = grid.controls if attribute in grid.control_attributes else []
    return {
        f"mixed {params.mix.ratio:g}" if condition == "mixed" else condition: {
            row.source: row.top1.mean for row in rows if (row.attribute, row.condition) == (attribute, condition)
        }
        for condition in (*grid.conditions, *controls)
    }


def _bounds(verdicts: Sequence[Verdict], attribute: str) -> dict[str, dict[str, float]]:
    """Return by source below how many points an attribute's conditions differ, and what they gain over real photos."""
    lines: dict[str, dict[str, float]] = {}
    for name, family in BOUNDS.items():
        by_source: dict[str, list[Verdict]] = {}
        for verdict in verdicts:
            if verdict.comparison.family == family and verdict.comparison.first.attribute == attribute:
                by_source.setdefault(verdict.comparison.first.source, []).append(verdict)
        for source, own in by_source.items():
            if (bound := stated_bound(own)) is not None:
                lines.setdefault(name, {})[source] = _rounded_up(bound)
    return lines


def _block(lines: Mapping[str, Mapping[str, float]], sources: Sequence[str]) -> str:
    """Return lines of one length, which stay in step however a table aligns them."""
    width = max(NARROWEST, *map(len, lines))
    first, *others = [HEADINGS[source] for source in sources]
    # a heading may reach over the gap before its figures, which keeps the block narrow
    told = [HEAD + first.rjust(width + 1 + FIGURE - len(HEAD)) + "".join(f" {each}" for each in others)]
    for label, figures in lines.items():
        columns = [_figure(figures[source]) if source in figures else EMPTY for source in sources]
        told.append(label.ljust(width) + columns[0].rjust(1 + FIGURE) + "".join(each.rjust(6) for each in columns[1:]))
    return "\n".join(told)


def _figure(percent: float) -> str:
    text = f"{percent:.1f}"
    return text if len(text) <= FIGURE else f"{percent:.0f}"


def _rounded_up(points: float) -> float:
    """Return points so that what lies below them stays below."""
    return math.ceil(round(10 * points, 6)) / 10


class _Blocks(yaml.SafeDumper):
    """Writes texts of several lines as blocks."""


def _write_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Blocks.add_representer(str, _write_text)
