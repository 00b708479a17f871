"""Tables in a terminal."""

from __future__ import annotations

import pytest
from rich.console import Console

from varireal.tables import Grid, Line, Styled, columns, results_console, rich_table


def printed(grid: Grid, width: int = 40) -> str:
    console = Console(width=width)
    with console.capture() as captured:
        console.print(rich_table(grid))
    return captured.get()


def test_cells_are_text_and_never_markup() -> None:
    grid = Grid("[red]title", columns("name"), (Line(("[bold]one[/]",)), Line((Styled(":cat:", "bold"),))))
    text = printed(grid)
    assert "[red]title" in text and "[bold]one[/]" in text and ":cat:" in text


def test_sections_are_ruled_off_and_numbers_stand_right() -> None:
    lines = tuple(Line((name, number), section=name) for name, number in (("a", "1"), ("a", "23"), ("b", "4")))
    text = printed(Grid("", (*columns("name"), *columns("number", kind="number")), lines))
    assert [line[0] for line in text.splitlines()] == ["┏", "┃", "┡", "│", "│", "├", "│", "└"]
    assert "│ a    │      1 │" in text


@pytest.mark.parametrize(("wrap", "shown"), [("words", "aaaaaaaaa…"), ("fold", "aaaaaaaaaa"), ("never", "aaaaaaaaa…")])
def test_a_narrow_terminal_wraps_as_the_column_says(wrap, shown) -> None:
    assert shown in printed(Grid("", columns("name", wrap=wrap), (Line(("a" * 20,)),)), width=14)


def test_a_log_file_gets_wide_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    assert results_console().width == 120
