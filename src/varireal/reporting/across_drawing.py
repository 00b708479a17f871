"""Studies side by side as people see them: tables, one picture as PNG, a page."""

from __future__ import annotations

import base64
import io
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from varireal.base.manifest import ATTRIBUTES, SOURCES
from varireal.reporting.across import Across, Side, lines
from varireal.reporting.figures import COLOURS
from varireal.reporting.page import page_environment
from varireal.reporting.words import BESIDE, at_most, outcome_words, signed
from varireal.tables import Grid, Line, columns

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ABSENT = "–"
WRAP = 30  # characters of a label beside the picture


def studies_grid(across: Across) -> Grid:
    """Return a line for every study: its bound, what its controls show, and its baselines."""
    rows = []
    for side in across.sides:
        seeds = {figures["seeds"] for figures in side.pairs.values()}
        cells = (
            side.study.name,
            side.label,
            " ".join(map(str, sorted(seeds))),
            ABSENT if side.question["bound"] is None else at_most(side.question["bound"]),
            str(side.question["comparisons"]),
            controls_words(side),
            *(_percent(side.top1(name)) for name in ("real", "zero-shot")),
        )
        rows.append(Line(cells))
    heads = (
        *columns("study", "classifier × editor", wrap="fold"),
        *columns("seeds", "bound", "of", kind="number", wrap="never"),
        *columns("controls", kind="words"),
        *columns("real only", "zero-shot", kind="number", wrap="words"),
    )
    title = (
        f"Does feasibility matter on {across.dataset}? Bound: points that a study's differences lie below (95 %), "
        "of so many"
    )
    return Grid(title, heads, tuple(rows))


def differences_grid(across: Across) -> Grid:
    """Return feasible minus infeasible of every study, a column for every attribute and a line for every source."""
    attributes = _attributes(across)
    rows = []
    for side in across.sides:
        for source in _sources([side]):
            cells = (_difference(side.pairs.get((attribute, source))) for attribute in attributes)
            rows.append(Line((side.label, BESIDE.get(source, source), *cells), section=side.label))
    heads = (*columns("classifier × editor", wrap="fold"), *columns("trained"), *columns(*attributes, kind="words"))
    title = "Feasible − infeasible in points of top-1, 95 % intervals; verdicts are corrected within each study"
    return Grid(title, heads, tuple(rows))


def controls_words(side: Side) -> str:
    """Return in a few words whether the controls show that a study can see."""
    controls = side.study.told.get("controls")
    if controls is None:
        return "none made"
    seeing = {str(source) for by in controls["cells"].values() for source in by} - set(side.blind)
    if not side.blind:
        return "shown to see"
    if not seeing:
        return "not shown to see"
    return f"shown {' and '.join(BESIDE.get(each, each) for each in sorted(seeing))} only"


def across_figure(across: Across) -> bytes:
    """Return the differences of all studies as PNG bytes: a row for every training source, a column an attribute."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    attributes, sources = _attributes(across), _sources(across.sides)
    height = 1.3 + len(sources) * (0.5 + 0.42 * len(across.sides))
    figure = Figure(figsize=(2.6 + 2.8 * len(attributes), height), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(sources), len(attributes), sharex=True, sharey=True, squeeze=False)
    for row, source in zip(grid, sources):
        for axes, attribute in zip(row, attributes):
            axes.set_title(f"{attribute}, {BESIDE.get(source, source)}", fontsize=9, loc="left")
            _draw(axes, across, attribute, source)
    for axes in grid[-1]:
        axes.set_xlabel(f"points of top-1, 95 % intervals; shaded ±{across.margin:g}", fontsize=8)
    told = {outcome for side in across.sides for outcome in _outcomes(side)}
    marks = [
        Line2D([], [], color=colour, marker="o", label=outcome_words(each))
        for each, colour in COLOURS.items()
        if each in told
    ]
    if any(side.blind for side in across.sides):
        hollow = "hollow: controls do not show that it sees"
        marks.append(Line2D([], [], color="#1b1f24", marker="o", fillstyle="none", linestyle="", label=hollow))
    figure.legend(handles=marks, loc="outside lower center", ncols=len(marks), fontsize=8, frameon=False)
    figure.suptitle(f"{across.dataset}: feasible − infeasible by classifier and editor", fontsize=11)
    written = io.BytesIO()
    figure.savefig(written, format="png", metadata={"Software": None})  # no version: the same figure, the same bytes
    return written.getvalue()


def across_page(across: Across, picture: bytes) -> str:
    """Return one HTML page without anything from outside; every text is escaped."""
    return page_environment().get_template("across.html.j2").render(
        dataset=across.dataset,
        lines=lines(across),
        picture="data:image/png;base64," + base64.b64encode(picture).decode(),
        studies=studies_grid(across),
        differences=differences_grid(across),
    )  # fmt: skip


def _draw(axes: Axes, across: Across, attribute: str, source: str) -> None:
    axes.axvspan(-across.margin, across.margin, color="#1668b8", alpha=0.15)
    axes.axvline(0, color="#1b1f24", linewidth=0.8)
    for place, side in enumerate(across.sides):
        if (figures := side.pairs.get((attribute, source))) is None:
            continue
        mean, low, high = (figures[name] for name in ("points", "low", "high"))
        axes.errorbar(
            mean, place, xerr=[[mean - low], [high - mean]], marker="o", markersize=5, capsize=3,
            color=COLOURS[figures["outcome"]], fillstyle="none" if source in side.blind else "full",
        )  # fmt: skip
    labels = ["\n".join(textwrap.fill(part, WRAP) for part in (side.classifier, side.editor)) for side in across.sides]
    axes.set_yticks(range(len(labels)), labels, fontsize=7)
    axes.tick_params(labelsize=8, axis="x")
    axes.set_ylim(len(across.sides) - 0.4, -0.6)
    axes.grid(axis="x", alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _attributes(across: Across) -> list[str]:
    """Return the attributes that a study has, in their usual order."""
    return [each for each in ATTRIBUTES if any(each == attribute for s in across.sides for attribute, _ in s.pairs)]


def _sources(sides: Sequence[Side]) -> list[str]:
    return [each for each in SOURCES if any(each == source for side in sides for _, source in side.pairs)]


def _outcomes(side: Side) -> set[str]:
    return {figures["outcome"] for figures in side.pairs.values()}


def _difference(figures: dict[str, Any] | None) -> str:
    if figures is None:
        return ABSENT
    interval = f"{signed(figures['low'])} to {signed(figures['high'])}"
    return f"{signed(figures['points'])} ({interval}) {outcome_words(figures['outcome'])}"


def _percent(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.1f}"
