"""The table in terminals and in log files."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from varireal.config import load_params
from varireal.reporting.results import read_results
from varireal.reporting.table import build_rows
from varireal.reporting.terminal import results_console, terminal_table


@pytest.mark.parametrize("width", [80, 130])
def test_no_figure_is_cut_off(finished_study: Path, width: int) -> None:
    rows = build_rows(read_results(load_params(finished_study / "params.yaml").grid))
    console = Console(width=width)
    with console.capture() as captured:
        console.print(terminal_table(rows, "rendered_aircraft"))
    text = captured.get()
    assert "…" not in text
    for figure in ("61.0 ± 1.4", "−13.0 ± 0.0", "+41.0 "):
        assert figure in text
    assert max(map(len, text.splitlines())) <= width


def test_a_log_file_gets_wide_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    assert results_console().width == 130
