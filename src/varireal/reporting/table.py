"""The study's table: mean top-1 of every cell, its spread over seeds, and what it gains over the baselines."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Sequence
from statistics import fmean
from typing import Any

from varireal.base.manifest import SOURCES
from varireal.config.controls import is_control
from varireal.evaluation.comparisons import Verdict
from varireal.evaluation.statistics import Spread, spread
from varireal.reporting.answers import answers
from varireal.reporting.controls import controls_sentences
from varireal.reporting.results import CellResult, Results, ZeroShot
from varireal.reporting.words import condition_words, counted, signed, with_spread
from varireal.tables import Grid, Line, columns


def difference(first: CellResult, second: CellResult) -> Spread:
    """Return mean and spread of ``first`` minus ``second`` in points of top-1, taken seed by seed.

    Both cells have the same seeds, and a seed sets the initial adapter and the order of the images, so the
    difference within a seed is the fairer comparison.
    """
    return spread([a.top1 - b.top1 for a, b in zip(first.runs, second.runs, strict=True)])


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table. Accuracies are percent, differences are points."""

    cell: str
    attribute: str | None
    condition: str | None
    source: str  # zero-shot, real, synthetic or real+synthetic
    top1: Spread
    top5: Spread
    val_top1: Spread | None
    minus_real: Spread | None
    minus_zero_shot: float | None
    points: tuple[float, ...]  # top-1 of each seed

    @property
    def control(self) -> bool:
        """Tell whether this is no cell of the study's question but a control."""
        return is_control(self.condition)


def build_rows(results: Results) -> list[Row]:
    """Return the baselines, then every cell in the order of the grid, then the controls."""
    trained = [_row(cell, results) for cell in (results.real, *results.cells, *results.controls)]
    return trained if results.zero_shot is None else [_zero_shot_row(results.zero_shot), *trained]


def _zero_shot_row(zero: ZeroShot) -> Row:
    return Row(
        cell="zero-shot",
        attribute=None,
        condition=None,
        source="zero-shot",
        top1=spread([zero.top1]),
        top5=spread([zero.top5]),
        val_top1=None,
        minus_real=None,
        minus_zero_shot=None,
        points=(zero.top1,),
    )


def _row(cell: CellResult, results: Results) -> Row:
    points = tuple(run.top1 for run in cell.runs)
    return Row(
        cell=cell.name,
        attribute=cell.attribute,
        condition=cell.condition,
        source=cell.source,
        top1=spread(points),
        top5=spread([run.top5 for run in cell.runs]),
        val_top1=spread([run.val_top1 for run in cell.runs]),
        minus_real=None if cell is results.real else difference(cell, results.real),
        minus_zero_shot=None if results.zero_shot is None else fmean(points) - results.zero_shot.top1,
        points=points,
    )


def results_grid(rows: Sequence[Row]) -> Grid:
    """Return the table for the page: top-1 of every cell and what it gains over the baselines."""
    lines = []
    for row in rows:
        seeds = "–" if row.source == "zero-shot" else str(row.top1.count)
        lines.append(Line((*_names(row), seeds, *_numbers(row, absent="–"))))
    numbers = columns("seeds", "top-1 %", "top-5 %", "minus real only", "minus zero-shot", kind="number")
    heads = (*columns("attribute", "condition", "training source"), *numbers)
    return Grid("Top-1 of every cell", heads, tuple(lines))


def terminal_grid(rows: Sequence[Row], dataset: str) -> Grid:
    """Return the table for the terminal, with a rule between attributes; ± is the standard deviation over seeds."""
    seeds = max(row.top1.count for row in rows)
    heads = (
        # these give way in a narrow terminal, the figures do not
        *columns("attribute", "condition", "training source", wrap="fold"),
        *columns("top-1", "top-5", "− real only", "− zero-shot", kind="number", wrap="never"),
    )
    return Grid(
        f"Top-1 on the test photos of {dataset} (%), mean ± standard deviation over {counted(seeds, 'seed')}",
        heads,
        tuple(Line((*_names(row), *_numbers(row, absent="")), section=section_of(row)) for row in rows),
    )


def section_of(row: Row) -> str | None:
    """Return what the row stands together with: its attribute, or the controls of that."""
    return f"{row.attribute}, controls" if row.control else row.attribute


def _names(row: Row) -> tuple[str, str, str]:
    source = "real only" if row.source == "real" else row.source
    return row.attribute or "–", condition_words(row.condition) if row.condition else "–", source


def _numbers(row: Row, absent: str) -> tuple[str, str, str, str]:
    return (
        with_spread(row.top1),
        f"{row.top5.mean:.1f}",
        absent if row.minus_real is None else with_spread(row.minus_real, sign=True),
        absent if row.minus_zero_shot is None else signed(row.minus_zero_shot),
    )


def summary(rows: Sequence[Row], verdicts: Sequence[Verdict], margin: float) -> str:
    """Return the answers to the study's questions and the table of all cells as Markdown.

    Args:
        margin: points of top-1 within which a difference does not matter.
    """
    first, *more = controls_sentences(verdicts, margin) or [""]
    lines = [f"* {first}", *(f"  * {each.strip()}" for each in more)] if first else []
    for answer in answers(verdicts, margin):
        below = (*answer.parts, *answer.baselines, *answer.power)
        lines += [f"* {answer.question} {answer.short}", *(f"  * {each}" for each in below)]
    lines += ["", "| cell | top-1 (%) | − real only |", "| --- | --- | --- |"]
    for row in rows:
        minus = "" if row.minus_real is None else signed(row.minus_real.mean)
        lines.append(f"| {row.cell} | {with_spread(row.top1)} | {minus} |")
    lines += ["", "Top-1 on test; ± is the standard deviation over seeds."]
    return "\n".join(lines) + "\n"


def table_json(rows: Sequence[Row], verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Return the table as nested objects (attribute, condition, source), the shape `dvc metrics show` flattens.

    With it go the comparisons that the study is about, feasible minus infeasible, in points with their intervals.
    """
    cells: dict[str, Any] = {}
    controls: dict[str, Any] = {}
    baselines: dict[str, Any] = {}
    for row in rows:
        if row.attribute is None or row.condition is None:
            baselines[row.source.replace("-", "_")] = _figures(row)
        else:
            branch = controls if row.control else cells
            branch.setdefault(row.attribute, {}).setdefault(row.condition, {})[row.source] = _figures(row)
    pairs: dict[str, Any] = {}
    for verdict in verdicts:
        first, second = verdict.comparison.first, verdict.comparison.second
        if (first.condition, second.condition) == ("feasible", "infeasible"):
            low, high = verdict.interval
            pairs.setdefault(first.attribute, {})[first.source] = {
                "points": _round(verdict.difference.mean),
                "low": _round(low),
                "high": _round(high),
            }
    beside = {"controls": controls} if controls else {}
    return {**baselines, "cells": cells, **beside, "feasible_minus_infeasible": pairs}


def table_csv(rows: Sequence[Row]) -> str:
    """Return the table as CSV, a line per row; a figure that does not exist is left empty."""
    header = ["cell", "attribute", "condition", "source", *_figures(rows[0])]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        named = [row.cell, row.attribute, row.condition, row.source]
        writer.writerow(["" if value is None else value for value in (*named, *_figures(row).values())])
    return text.getvalue()


def curves_csv(results: Results) -> str:
    """Return top-1 on val over training steps, a column per training source: the mean over its cells and seeds.

    A source that is not in the grid has an empty column, so that `dvc plots` always finds the ones dvc.yaml names.
    """
    values: dict[tuple[int, str], list[float]] = {}
    for cell in (results.real, *results.cells):
        for run in cell.runs:
            for look in run.curve:
                values.setdefault((int(look["step"]), cell.source), []).append(look["val_top1"])
    sources = ("real", *SOURCES)
    lines = [",".join(("step", *sources))]
    for step in sorted({step for step, _ in values}):
        means = [f"{fmean(values[step, source]):.4f}" if (step, source) in values else "" for source in sources]
        lines.append(",".join((str(step), *means)))
    return "\n".join(lines) + "\n"


def _figures(row: Row) -> dict[str, float | int | None]:
    return {
        "seeds": row.top1.count,
        "top1_mean": _round(row.top1.mean),
        "top1_std": _round(row.top1.std),
        "top5_mean": _round(row.top5.mean),
        "val_top1_mean": None if row.val_top1 is None else _round(row.val_top1.mean),
        "minus_real": None if row.minus_real is None else _round(row.minus_real.mean),
        "minus_real_std": None if row.minus_real is None else _round(row.minus_real.std),
        "minus_zero_shot": _round(row.minus_zero_shot),
    }


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
