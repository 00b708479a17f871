"""The data, measured: figures of every cell's edits, why edits fail, and accuracy against the figures."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from varireal.evaluation.comparisons import Verdict
from varireal.reporting.curves import HEIGHT, LEFT, TOP, WIDTH
from varireal.reporting.results import Results
from varireal.reporting.strips import Axis, axis_over
from varireal.reporting.words import condition_words, counted, interval_words, percent, signed
from varireal.tables import Grid, Line, columns

UNEVEN = 1.5  # how many times the one feasibility's mean ΔE may be the other's
SHAPES = ("circle", "square", "triangle")  # of the attributes, in the order of the grid
EXPLAIN = {  # figures that accuracy is drawn against, in the words of an axis
    "cmmd": "distance from the real photos (CMMD)",
    "clip_gain": "CLIP score gained over the photo",
    "ssim_inside": "similarity to the photo inside the region (SSIM)",
    "delta_e": "strength of the edits (mean ΔE)",
    "diversity": "diversity (mean cosine distance)",
}
HEADS = (
    "edits",
    "exact",
    "SSIM",
    "PSNR",
    "ΔE",
    "changed",
    "CLIP",
    "gained",
    "CMMD",
    "diversity",
    "passed",
)
# the longest words, so that the table fits 120 columns
CELL = (*columns("attribute", min_width=10), *columns("feasibility", min_width=11))


@dataclasses.dataclass(frozen=True)
class Dot:
    """One cell in a plot, in the view box of the page's curves."""

    kind: str  # its feasibility: a CSS class
    shape: str
    x: float
    y: float
    low: float  # y of both ends of the interval
    high: float
    words: str


@dataclasses.dataclass(frozen=True)
class DataPlot:
    """What training on edits alone or beside photos gains over real only, against one figure of the edits."""

    title: str  # the training source
    label: str  # of the horizontal axis
    dots: tuple[Dot, ...]
    zero: float | None  # y of no gain, if it is on the axis
    x_ticks: tuple[tuple[str, float], ...]
    y_ticks: tuple[tuple[str, float], ...]


def explaining(figures: dict[str, Any]) -> dict[str, float]:
    """Return the figures of a cell that accuracy may be explained by, those of ``EXPLAIN`` that are known."""
    scores = figures["clip_score"], figures["clip_score_of_photo"]
    gain = None if None in scores else scores[0] - scores[1]
    return {name: v for name in EXPLAIN if (v := gain if name == "clip_gain" else figures.get(name)) is not None}


def data_grid(results: Results) -> Grid:
    """Return what was measured of every cell's edits, and of the real photos in the last line."""
    lines = [Line((*cell, *_cells(results, cell))) for cell in results.measured]
    photos = results.photos
    distance = (_number(photos["cmmd_of_val"], 3), _number(photos["diversity"], 3))
    lines.append(Line(("real photos", "val to train", f"{photos['photos']:,}", *("–",) * 7, *distance, "–")))
    return Grid("What was measured of the edits", (*CELL, *columns(*HEADS, kind="number")), tuple(lines))


def _cells(results: Results, cell: tuple[str, str]) -> Iterator[str]:
    measured, edits = results.measured[cell], results.edits[cell]
    sample, whole = measured["measured"], measured["edits"]
    yield f"{sample:,} of {whole:,}" if sample < whole else f"{sample:,}"
    leaks = measured["changed_outside"]
    yield "–" if leaks is None else f"no: {leaks:,}" if leaks else "yes"
    yield _number(measured["ssim_inside"], 2)
    # nothing differs inside where SSIM is 1; there is no such number of decibels
    yield _number(measured["psnr_inside"], 1)
    yield _number(measured.get("delta_e"), 1)  # which results of earlier versions lack, as the next
    yield "–" if measured.get("lost") is None else percent(measured["lost"])
    yield _number(measured["clip_score"], 1)
    yield signed(gain) if (gain := explaining(measured).get("clip_gain")) is not None else "–"
    yield _number(measured["cmmd"], 3)
    yield _number(measured["diversity"], 3)
    yield percent(edits["pass_rate"])


def _number(value: float | None, decimals: int) -> str:
    return "–" if value is None else f"{value:.{decimals}f}"


def uneven(feasible: float, infeasible: float) -> bool:
    """Return whether edits differ in strength so much that it may pass for the difference of feasibilities."""
    return max(feasible, infeasible) > UNEVEN * min(feasible, infeasible)


def strength_words(results: Results) -> list[str]:
    """Return a line that names the attributes whose feasible and infeasible edits differ in strength, if any do."""
    found = []
    for attribute in dict.fromkeys(attribute for attribute, _ in results.measured):
        cells = [results.measured.get((attribute, feasibility), {}) for feasibility in ("feasible", "infeasible")]
        one, other = (cell.get("delta_e") for cell in cells)
        if one is not None and other is not None and uneven(one, other):
            found.append(f"{attribute} (mean ΔE {one:.0f} feasible, {other:.0f} infeasible)")
    if not found:
        return []
    return [
        f"Feasible and infeasible edits differ in strength too: {', '.join(found)}. What differs between models of the "
        "two may come from that, and not from feasibility."
    ]


def causes_grid(results: Results) -> Grid | None:
    """Return why photos, edits and attempts failed, with the numbers; None if none did.

    Causes that belong to photos (a mask that cannot be used) stand in every cell that lacks their edits.
    """
    lines = [Line((*cell, cause, number)) for cell, edits in results.edits.items() for cause, number in _causes(edits)]
    if not lines:
        return None
    heads = (*CELL, *columns("cause", kind="words"), *columns("number", kind="number"))
    return Grid("Failures by cause", heads, tuple(lines))


def _causes(edits: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for note, number in sorted(Counter(edits["failed_photos"].values()).items()):
        yield f"photo not edited: {note}", counted(number, "photo")
    for note, number in sorted(Counter(edits["failed_edits"].values()).items()):
        yield f"edit could not be made: {note}", counted(number, "edit")
    if edits["exhausted"]:
        yield "no attempt passed the filter", counted(edits["exhausted"], "edit")
    for question, share in edits["first_pass_rate_by_question"].items():
        if share is not None and share < 1:
            yield f"first attempt rejected for its {question}", percent(1 - share)


def edits_grid(results: Results) -> Grid:
    """Return how many edits of each cell passed the filter, and in how many attempts."""
    lines = tuple(
        Line((
            attribute,
            feasibility,
            *(f"{edits[name]:,}" for name in ("edits", "accepted", "exhausted", "failed")),
            percent(edits["pass_rate"]),
            "–" if edits["mean_attempts"] is None else f"{edits['mean_attempts']:.2f}",
        ))
        for (attribute, feasibility), edits in results.edits.items()
    )  # fmt: skip
    numbers = columns("edits", "accepted", "exhausted", "not edited", "pass rate", "attempts per edit", kind="number")
    return Grid("Edits and the filter", (*CELL, *numbers), lines)


def mixes_grid(results: Results) -> Grid:
    """Return the size and the infeasible share of every synthetic training set, with controls the wrong labels too."""
    lines = tuple(
        Line(
            (
                attribute,
                condition_words(condition),
                f"{mix['images']:,}",
                percent(mix["infeasible_share"]),
                *((f"{mix.get('wrong_labels', 0):,}",) if results.controls else ()),
            )
        )
        for (attribute, condition), mix in results.mixes.items()
    )
    wrong = ("wrong labels",) if results.controls else ()
    numbers = columns("images", "infeasible share", *wrong, kind="number")
    return Grid("Synthetic training sets", (*columns("attribute", "condition"), *numbers), lines)


def build_data_plots(results: Results, verdicts: Sequence[Verdict]) -> list[DataPlot]:
    """Return a plot for every training source and figure: the gain over real only of cells of one feasibility.

    Mixed conditions have edits of two cells and so no place on these axes.
    """
    attributes = list(dict.fromkeys(attribute for attribute, _ in results.measured))
    shapes = {attribute: SHAPES[k % len(SHAPES)] for k, attribute in enumerate(attributes)}
    gains = [
        v for v in verdicts
        if v.comparison.family == "gain"
        and (v.comparison.first.attribute, v.comparison.first.condition) in results.measured
    ]  # fmt: skip
    if not gains:
        return []
    y_axis = axis_over([end for verdict in gains for end in verdict.interval])
    plots = []
    for source in dict.fromkeys(verdict.comparison.first.source for verdict in gains):
        own = [verdict for verdict in gains if verdict.comparison.first.source == source]
        plots += [plot for name in EXPLAIN if (plot := _plot(source, name, own, results, shapes, y_axis)) is not None]
    return plots


def _plot(
    source: str, name: str, gains: Sequence[Verdict], results: Results, shapes: dict[str, str], y_axis: Axis
) -> DataPlot | None:
    known = []
    for verdict in gains:
        cell = (verdict.comparison.first.attribute, verdict.comparison.first.condition)
        if (value := explaining(results.measured[cell]).get(name)) is not None:
            known.append((value, verdict))
    if not known:
        return None
    x_axis = axis_over([value for value, _ in known])
    dots = []
    for value, verdict in known:
        first, (low, high) = verdict.comparison.first, verdict.interval
        dots.append(
            Dot(
                kind=first.condition,
                shape=shapes[first.attribute],
                x=LEFT + x_axis.place(value) / 100 * WIDTH,
                y=_y(verdict.difference.mean, y_axis),
                low=_y(low, y_axis),
                high=_y(high, y_axis),
                words=f"{first.attribute} {first.condition}: {signed(verdict.difference.mean)} points "
                f"({interval_words(verdict)}) at {value:.3g}",
            )
        )
    return DataPlot(
        title=source,
        label=EXPLAIN[name],
        dots=tuple(dots),
        zero=_y(0, y_axis) if y_axis.low <= 0 <= y_axis.high else None,
        x_ticks=tuple((label, LEFT + place / 100 * WIDTH) for label, place in x_axis.ticks()),
        y_ticks=tuple((label, TOP + HEIGHT - place / 100 * HEIGHT) for label, place in y_axis.ticks(sign=True)),
    )


def _y(value: float, axis: Axis) -> float:
    return TOP + HEIGHT - axis.place(value) / 100 * HEIGHT
