"""The sentences claim no more than means and spreads allow."""

from __future__ import annotations

from pathlib import Path

import pytest

from varireal.config import load_params
from varireal.evaluation.spread import spread
from varireal.reporting.results import read_results
from varireal.reporting.table import build_rows, contrasts
from varireal.reporting.words import sentences, signed, verdict, with_spread


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([0.5], "one seed, so its spread is unknown"),
        ([1.0, -1.0, 0.3], "within the spread of 3 seeds"),
        ([-2.0, -2.2, -1.9], "more than the spread of 3 seeds"),
        ([0.0, 0.0], "within the spread of 2 seeds"),
    ],
)
def test_verdict(values: list[float], said: str) -> None:
    assert verdict(spread(values)) == said


def test_numbers_have_signs_and_no_negative_zero() -> None:
    assert [signed(value) for value in (0.44, -1.25, -0.01, 0.0)] == ["+0.4", "−1.2", "0.0", "0.0"]
    assert with_spread(spread([1.0, 3.0]), sign=True) == "+2.0 ± 1.4"
    assert with_spread(spread([52.04])) == "52.0"


def test_sentences_of_a_study(finished_study: Path) -> None:
    results = read_results(load_params(finished_study / "params.yaml").grid)
    lines = sentences(results, build_rows(results), contrasts(results))
    assert lines[0].startswith(
        "On the test photos CLIP reaches 30.0 % untrained and 61.0 ± 1.4 % after training on real"
    )
    assert lines[1] == (
        "synthetic: −13.0 to −10.0 points against real-only over 6 cells; 0 above and 6 below real-only by more than "
        "the spread of their seeds."
    )
    assert "real+synthetic: +7.0 to +10.0 points" in lines[2] and "6 above and 0 below" in lines[2]
    assert (
        lines[3] == "color, synthetic: feasible minus infeasible is +3.0 ± 0.0 points, more than the spread of 2 seeds."
    )
    assert lines[-1].startswith("In 4 of 4 comparisons") and "is no test" in lines[-1]


def test_one_seed_claims_nothing(finished_study: Path) -> None:
    grid = load_params(finished_study / "params.yaml").grid.model_copy(update={"seeds": [0]})
    results = read_results(grid)
    lines = sentences(results, build_rows(results), contrasts(results))
    assert lines[-1] == "With one seed no difference between feasible and infeasible can be told from chance."
    assert not any("more than the spread" in line for line in lines)
