"""Tables, described once for the terminal and for the page."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

Kind = Literal["", "number", "words"]  # of a column's cells: a CSS class; numbers are aligned to the right
Wrap = Literal["words", "fold", "never"]  # in a narrow terminal: between words, within words too, or not at all

WIDTH_OF_LOGS = 120  # characters, where there is no terminal to ask, as under `dvc repro` in a pipe


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of a table: its heading, and how its cells are set."""

    name: str
    kind: Kind = ""
    wrap: Wrap = "words"
    min_width: int | None = None  # characters in the terminal


@dataclasses.dataclass(frozen=True)
class Styled:
    """A cell with a style of the terminal, such as ``bold`` or ``green``; the page shows its text."""

    text: str
    style: str

    def __str__(self) -> str:
        return self.text


@dataclasses.dataclass(frozen=True)
class Line:
    """A line of a table. Cells are plain text, never markup."""

    cells: tuple[str | Styled, ...]
    kind: str = ""  # a CSS class, from the program and never from data
    section: str | None = None  # the terminal rules off lines of one section from those of the next


@dataclasses.dataclass(frozen=True)
class Grid:
    """A table."""

    title: str  # the terminal's heading, the page's aria-label; none if empty
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]


def columns(*names: str, kind: Kind = "", wrap: Wrap = "words", min_width: int | None = None) -> tuple[Column, ...]:
    """Return columns of one kind."""
    return tuple(Column(name, kind, wrap, min_width) for name in names)


def rich_table(grid: Grid) -> Table:
    """Return a table as rich prints it in a terminal."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(grid.title, style="bold") if grid.title else None, title_justify="left")
    for column in grid.columns:
        table.add_column(
            column.name,
            justify="right" if column.kind == "number" else "left",
            overflow="fold" if column.wrap == "fold" else "ellipsis",
            no_wrap=column.wrap == "never",
            min_width=column.min_width,
        )
    for line, following in zip(grid.lines, [*grid.lines[1:], None]):
        table.add_row(
            *(Text(cell.text, cell.style) if isinstance(cell, Styled) else Text(cell) for cell in line.cells),
            end_section=following is not None and following.section != line.section,
        )
    return table


def plain_table(grid: Grid) -> str:
    """Return a table as text without colours, the same on every machine."""
    import io

    from rich.console import Console

    text = io.StringIO()
    Console(file=text, width=WIDTH_OF_LOGS, color_system=None, force_terminal=False).print(rich_table(grid))
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"


def results_console() -> Console:
    """Return a console for standard output that is wide enough for the tables in a log file too."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=WIDTH_OF_LOGS)
