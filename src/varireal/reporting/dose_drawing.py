"""Dose and response as people see it: a table for the terminal, a figure as PNG, plots for the page."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from varireal.reporting.curves import HEIGHT, LEFT, TOP, WIDTH
from varireal.reporting.dose import DoseCurve, DosePoint, DoseResponse, interval
from varireal.reporting.strips import Axis, axis_over
from varireal.reporting.words import counted, signed
from varireal.tables import Grid, Line, columns

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#1f6feb", "#c4471d", "#6f42c1", "#0a7f5a")  # one for each number of edits per photo
REAL_COLOUR = "#666666"


@dataclasses.dataclass(frozen=True)
class DoseLine:
    """One curve of a plot, in the view box of the page's curves."""

    kind: str  # a CSS class
    label: str  # of its edits per photo, where there are several
    points: tuple[tuple[float, float, float, float], ...]  # x, y of the mean, y of both ends of the interval
    words: str


@dataclasses.dataclass(frozen=True)
class DosePlot:
    """The curves of one attribute and training source, with the real-only baseline as a level."""

    title: str
    lines: tuple[DoseLine, ...]
    real: float  # y of real-only
    x_ticks: tuple[tuple[str, float], ...]
    y_ticks: tuple[tuple[str, float], ...]
    verdicts: tuple[str, ...]


def build_dose_plots(sweep: DoseResponse) -> list[DosePlot]:
    """Return a plot for every attribute and training source, all on the same axes."""
    axis = _axis(sweep)
    several = _several(sweep)
    x_ticks = tuple((f"{ratio:g}", _x(ratio)) for ratio in sorted({p.ratio for c in sweep.curves for p in c.points}))
    plots = []
    for title in dict.fromkeys(curve.name for curve in sweep.curves):
        own = [curve for curve in sweep.curves if curve.name == title]
        plots.append(
            DosePlot(
                title=title,
                lines=tuple(_line(curve, kind, several, axis) for kind, curve in enumerate(own)),
                real=_y(sweep.baselines["real"].mean, axis),
                x_ticks=x_ticks,
                y_ticks=tuple((label, TOP + HEIGHT - place / 100 * HEIGHT) for label, place in axis.ticks()),
                verdicts=tuple(_verdict(curve, several) for curve in own),
            )
        )
    return plots


def dose_grid(sweep: DoseResponse) -> Grid:
    """Return the table for the terminal: a line per curve with its points and its trend."""
    ratios = sorted({point.ratio for curve in sweep.curves for point in curve.points})
    several = _several(sweep)
    lines = []
    for curve in sweep.curves:
        means = {point.ratio: f"{point.mean:.1f}" for point in curve.points}
        edits = (str(curve.edits_per_photo),) if several else ()
        figures = (*(means.get(ratio, "–") for ratio in ratios), signed(curve.slope), interval(curve))
        lines.append(Line((curve.attribute, curve.source, *edits, *figures, curve.words)))
    heads = (
        *columns("attribute", "training source", *(("edits",) if several else ())),
        *columns(*(f"{ratio:g}" for ratio in ratios), "slope", "95 % interval", kind="number", wrap="never"),
        *columns("verdict", min_width=24),
    )
    title = (
        f"Top-1 on {sweep.dataset} (%) against the share of infeasible images, {counted(sweep.photos, 'photo')} "
        f"and {counted(sweep.seeds, 'seed')}\n"
        f"slope: points from all feasible to all infeasible, with its 95 % interval"
    )
    return Grid(title, heads, tuple(lines))


def dose_figure(sweep: DoseResponse) -> bytes:
    """Return the curves as PNG bytes, a row for every attribute and a column for every training source."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    attributes = list(dict.fromkeys(curve.attribute for curve in sweep.curves))
    sources = list(dict.fromkeys(curve.source for curve in sweep.curves))
    figure = Figure(figsize=(4.6 * len(sources), 0.8 + 3.0 * len(attributes)), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(attributes), len(sources), sharex=True, sharey=True, squeeze=False)
    for curve_name, place in (((a, s), grid[i][j]) for i, a in enumerate(attributes) for j, s in enumerate(sources)):
        _draw(place, sweep, [curve for curve in sweep.curves if (curve.attribute, curve.source) == curve_name])
    figure.suptitle(f"{sweep.dataset}: accuracy against the share of infeasible images", fontsize=12)
    figure.supxlabel("share of infeasible images; bars: 95 % interval over photos and seeds", fontsize=10)
    figure.supylabel("top-1 on test (%)", fontsize=10)
    written = io.BytesIO()
    figure.savefig(written, format="png", metadata={"Software": None})  # no version: the same figure, the same bytes
    return written.getvalue()


def _draw(axes: Axes, sweep: DoseResponse, curves: Sequence[DoseCurve]) -> None:
    real = sweep.baselines["real"]
    axes.axhline(real.mean, color=REAL_COLOUR, linestyle="--", linewidth=1, label="real only")
    for number, curve in enumerate(curves):
        shift = 0.008 * (number - (len(curves) - 1) / 2)  # intervals of several curves side by side
        means = [point.mean for point in curve.points]
        ends = [[p.mean - p.low for p in curve.points], [p.high - p.mean for p in curve.points]]
        label = f"{counted(curve.edits_per_photo, 'edit')} per photo: " if _several(sweep) else ""
        axes.errorbar(
            [point.ratio + shift for point in curve.points], means, yerr=ends, marker="o", markersize=4, capsize=3,
            linewidth=1.5, elinewidth=1, color=COLOURS[number % len(COLOURS)],
            label=f"{label}{signed(curve.slope)} ({interval(curve)})",
        )  # fmt: skip
    axes.set_title(curves[0].name, fontsize=10)
    axes.set_xticks(sorted({point.ratio for curve in curves for point in curve.points}))
    axes.grid(alpha=0.25)
    axes.legend(fontsize=7, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)


def _line(curve: DoseCurve, kind: int, several: bool, axis: Axis) -> DoseLine:
    points = tuple((_x(p.ratio), _y(p.mean, axis), _y(p.low, axis), _y(p.high, axis)) for p in curve.points)
    label = f"{counted(curve.edits_per_photo, 'edit')} per photo"
    words = ", ".join(_point_words(point) for point in curve.points)
    return DoseLine(f"dose-{kind % len(COLOURS)}", label if several else "", points, f"{label}: {words}")


def _point_words(point: DosePoint) -> str:
    return f"{point.mean:.1f} % ({point.low:.1f} to {point.high:.1f}) at {point.ratio:g}"


def _verdict(curve: DoseCurve, several: bool) -> str:
    start = f"{counted(curve.edits_per_photo, 'edit')} per photo: " if several else ""
    return f"{start}{signed(curve.slope)} ({interval(curve)}): {curve.words}"


def _several(sweep: DoseResponse) -> bool:
    return len({curve.edits_per_photo for curve in sweep.curves}) > 1


def _axis(sweep: DoseResponse) -> Axis:
    ends = [end for curve in sweep.curves for point in curve.points for end in (point.low, point.high)]
    return axis_over([sweep.baselines["real"].mean, *ends])


def _x(ratio: float) -> float:
    return LEFT + ratio * WIDTH


def _y(value: float, axis: Axis) -> float:
    return TOP + HEIGHT - axis.place(value) / 100 * HEIGHT
