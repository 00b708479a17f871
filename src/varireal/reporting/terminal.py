"""The table as rich shows it in a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from varireal.reporting.table import Row
from varireal.reporting.words import counted, signed, with_spread

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

WIDTH_OF_LOGS = 130  # characters, where there is no terminal to ask, as under `dvc repro` in a pipe


def results_console() -> Console:
    """Return a console for standard output that is wide enough for the tables in a log file too."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=WIDTH_OF_LOGS)


def terminal_table(rows: Sequence[Row], dataset: str) -> Table:
    """Return the table with a rule between attributes; ± is the standard deviation over seeds."""
    from rich.table import Table

    seeds = max(row.top1.count for row in rows)
    table = Table(
        title=f"Top-1 on the test photos of {dataset} (%), mean ± standard deviation over {counted(seeds, 'seed')}",
        title_justify="left",
        title_style="bold",
    )
    for name in ("attribute", "condition", "training source"):
        table.add_column(name, overflow="fold")  # these give way in a narrow terminal, the figures do not
    for name in ("top-1", "top-5", "− real only", "− zero-shot"):
        table.add_column(name, justify="right", no_wrap=True)
    for row, following in zip(rows, [*rows[1:], None]):
        table.add_row(
            row.attribute or "–",
            row.condition or "–",
            "real only" if row.source == "real" else row.source,
            with_spread(row.top1),
            f"{row.top5.mean:.1f}",
            "" if row.minus_real is None else with_spread(row.minus_real, sign=True),
            "" if row.minus_zero_shot is None else signed(row.minus_zero_shot),
            end_section=following is not None and following.attribute != row.attribute,
        )
    return table
