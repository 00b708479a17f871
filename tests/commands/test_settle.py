"""`varireal settle` with DVC's real queue, in a repository whose stages take no time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from varireal.cli import main
from varireal.errors import UserError

SMALL = ["grid.attributes=[color]", "grid.sources=[synthetic]", "grid.seeds=[4]", "settle.looks=[2,6]", "mix.ratio=0.1",
         "grid.controls=[]"]  # fmt: skip


def settle(*options: str) -> str:
    settings = [part for setting in SMALL for part in ("-S", setting)]
    result = CliRunner().invoke(main, ["settle", *settings, *options])
    if isinstance(result.exception, UserError):
        raise result.exception
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


@pytest.mark.slow
def test_looks_are_experiments_with_more_seeds_and_go_on_where_they_ended(repository: Path) -> None:
    """20 of 80 photos tell feasible from infeasible, 2 tell feasible from mixed: too few for a verdict."""
    output = settle("--max-seeds", "2")
    assert "To run: settle-2-seeds" in output and "settle-6-seeds" not in output
    assert "color, synthetic: feasible − infeasible is different, +25.0 points" in output
    assert "The seeds that were allowed are used up: 2 of 3 decided" in " ".join(output.split())
    first = json.loads(Path("metrics/settle.json").read_text())
    assert (first["state"], first["plan"]["seeds"]) == ("no seeds left", [4, 0, 1, 2, 3, 5])
    assert first["looks"][0]["level"] == 0.016667

    again = " ".join(settle().split())
    assert "Taken as they are: settle-2-seeds" in again and "To run: settle-6-seeds" in again
    assert "settle-2-seeds: " not in again  # no progress of one that was there
    assert "Next, 6 seeds: 16 more fine-tunings and their tests, of unknown length" in again
    found = json.loads(Path("metrics/settle.json").read_text())
    assert [(look["seeds"], look["experiment"]) for look in found["looks"]] == [
        (2, "settle-2-seeds"),
        (6, "settle-6-seeds"),
    ]
    pairs = found["comparisons"]["color"]["synthetic"]
    assert pairs["feasible_minus_infeasible"]["decided_after_seeds"] == 2
    assert pairs["mixed_minus_feasible"]["outcome"] == "undecided" and pairs["mixed_minus_feasible"]["points"] == -2.5
    assert found["seeds"] == 6 and found["undecided"] == 1

    with pytest.raises(UserError, match=r"settle\.looks was \[2, 6\], not \[2, 4\]\. Who changes the plan"):
        settle("-S", "settle.looks=[2,4]")


def test_a_budget_below_the_first_look_is_refused_before_anything_is_queued(repository: Path) -> None:
    with pytest.raises(UserError, match=r"2 seeds allow no look; the first is after 3 \(settle.looks\)"):
        settle("--max-seeds", "2", "-S", "settle.looks=[3,5]")
    assert not Path("metrics/settle.json").exists()
