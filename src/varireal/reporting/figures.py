"""Pictures of the results as files, for MLflow and for papers: the comparisons' intervals, sheets of edits."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from varireal.base.files import read_image
from varireal.base.manifest import ImageRecord
from varireal.evaluation.comparisons import Family, Outcome, Verdict
from varireal.reporting.answers import BESIDE
from varireal.reporting.gallery import picture_paths
from varireal.reporting.verdicts import TITLES
from varireal.reporting.words import interval_words, outcome_words, signed, versus, where

COLOURS: dict[Outcome, str] = {
    "different": "#c4471d",
    "equivalent": "#1a7f37",
    "undecided": "#6e7781",
    "unproven": "#b42318",
}
SIDE, LABEL, GAP = 144, 16, 6  # pixels: of a picture on a sheet, of the line of text above it, between edits
KINDS = ("photo", "prior", "edit")


def intervals_figure(verdicts: Sequence[Verdict], family: Family, margin: float) -> bytes:
    """Return the differences of one question with their 95 % intervals as PNG bytes, the margin shaded.

    Args:
        margin: points of top-1 within which a difference does not matter.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    own = [verdict for verdict in verdicts if verdict.comparison.family == family]
    figure = Figure(figsize=(9, 1.2 + 0.3 * len(own)), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.axvspan(-margin, margin, color="#1668b8", alpha=0.15, label=f"±{margin:g} points")
    axes.axvline(0, color="#1b1f24", linewidth=0.8)
    for place, verdict in enumerate(own):
        mean, (low, high) = verdict.difference.mean, verdict.interval
        axes.errorbar(
            mean, place, xerr=[[mean - low], [high - mean]], marker="o", markersize=5, capsize=3,
            color=COLOURS[verdict.outcome],
        )  # fmt: skip
    axes.set_yticks(range(len(own)), [f"{where(verdict)}: {versus(verdict)}" for verdict in own], fontsize=8)
    axes.invert_yaxis()
    right = axes.secondary_yaxis("right")
    figures = [f"{signed(v.difference.mean)} ({interval_words(v)}) {outcome_words(v.outcome)}" for v in own]
    right.set_yticks(range(len(own)), figures, fontsize=8)
    axes.set_xlabel("difference of top-1 in points, 95 % interval over photos and seeds", fontsize=9)
    axes.set_title(TITLES[family], fontsize=11, loc="left")
    axes.grid(axis="x", alpha=0.25)
    written = io.BytesIO()
    figure.savefig(written, format="png", metadata={"Software": None})  # no version: the same figure, the same bytes
    return written.getvalue()


def strip_figure(verdicts: Sequence[Verdict], margin: float) -> bytes | None:
    """Return feasible minus infeasible as PNG bytes 54 pixels high, or None where the grid has not both.

    A panel for every training source, in it a line for every attribute; low enough for MLflow's descriptions.

    Args:
        margin: points of top-1 within which a difference does not matter.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    own = [verdict for verdict in verdicts if versus(verdict) == "feasible − infeasible"]
    if not own:
        return None
    sources = list(dict.fromkeys(verdict.comparison.first.source for verdict in own))
    names = list(dict.fromkeys(verdict.comparison.first.attribute or "" for verdict in own))
    figure = Figure(figsize=(7.8, 0.54), dpi=100)
    FigureCanvasAgg(figure)
    figure.subplots_adjust(left=0.1, right=0.995, bottom=0.22, top=0.77, wspace=0.04)
    for panel, source in zip(figure.subplots(1, len(sources), sharey=True, squeeze=False)[0], sources, strict=True):
        panel.axvspan(-margin, margin, color="#1668b8", alpha=0.15)
        panel.axvline(0, color="#1b1f24", linewidth=0.8)
        for verdict in own:
            if verdict.comparison.first.source == source:
                mean, (low, high) = verdict.difference.mean, verdict.interval
                panel.errorbar(
                    mean, names.index(verdict.comparison.first.attribute or ""), xerr=[[mean - low], [high - mean]],
                    marker="o", markersize=3, capsize=1.5, linewidth=1, color=COLOURS[verdict.outcome],
                )  # fmt: skip
        panel.set_title(f"feasible − infeasible in points, {BESIDE.get(source, source)}", fontsize=6, pad=1.5)
        panel.set_yticks(range(len(names)), names, fontsize=6)
        panel.set_ylim(len(names) - 0.4, -0.6)
        panel.tick_params(length=1.5, pad=1, labelsize=6)
        panel.grid(axis="x", alpha=0.25)
    written = io.BytesIO()
    figure.savefig(written, format="png", metadata={"Software": None})
    return written.getvalue()


def edits_sheet(rows: Sequence[tuple[str, Sequence[ImageRecord]]]) -> bytes:
    """Return edits as JPEG bytes: a block for every title, in it photo, prior and edit one below the other.

    Args:
        rows: a title and its edits each, as many in every row as there are.

    Raises:
        UserError: a picture is missing or cannot be read.
    """
    from PIL import Image, ImageDraw, ImageOps

    columns = max(1, *(len(edits) for _, edits in rows))
    block = 2 * LABEL + len(KINDS) * SIDE + GAP
    sheet = Image.new("RGB", (columns * (SIDE + GAP), len(rows) * block), "white")
    pen = ImageDraw.Draw(sheet)
    for line, (title, edits) in enumerate(rows):
        pen.text((2, line * block + 1), f"{title}: {', '.join(KINDS)}", fill="black")
        for column, edit in enumerate(edits):
            left, top = column * (SIDE + GAP), line * block + LABEL
            pen.text((left + 2, top + 1), f"{edit.class_name}: {edit.value}"[:26], fill="#59636e")
            paths = picture_paths(edit)
            for place, kind in enumerate(KINDS):
                if kind in paths:  # priors are not always kept
                    picture = Image.fromarray(read_image(Path(paths[kind])))
                    padded = ImageOps.pad(picture, (SIDE, SIDE), color="white")
                    sheet.paste(padded, (left, top + LABEL + place * SIDE))
    written = io.BytesIO()
    sheet.save(written, format="JPEG", quality=88, subsampling=0, optimize=True)
    return written.getvalue()
