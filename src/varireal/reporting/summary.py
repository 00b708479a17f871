"""The study in a few lines of Markdown: the answers and the table."""

from __future__ import annotations

from collections.abc import Sequence

from varireal.evaluation.comparisons import Verdict
from varireal.reporting.table import Row
from varireal.reporting.verdicts import answers
from varireal.reporting.words import signed, with_spread


def summary(rows: Sequence[Row], verdicts: Sequence[Verdict], margin: float) -> str:
    """Return the answers to the study's questions and the table of all cells as Markdown.

    Args:
        margin: points of top-1 within which a difference does not matter.
    """
    lines = [f"* {answer.question} {answer.short}" for answer in answers(verdicts, margin)]
    lines += ["", "| cell | top-1 (%) | − real only |", "| --- | --- | --- |"]
    for row in rows:
        minus = "" if row.minus_real is None else signed(row.minus_real.mean)
        lines.append(f"| {row.cell} | {with_spread(row.top1)} | {minus} |")
    lines += ["", "Top-1 on test; ± is the standard deviation over seeds."]
    return "\n".join(lines) + "\n"
