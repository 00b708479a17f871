"""Verdicts as words, JSON, a table and numbers."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import pytest
from rich.console import Console

from varireal import layout
from varireal.config import load_params
from varireal.evaluation.comparisons import Verdict, comparisons, judge, read_answers
from varireal.evaluation.statistics import Size, crossed_mean
from varireal.reporting.verdicts import (
    headline,
    interval_words,
    p_words,
    verdict_metrics,
    verdict_words,
    verdicts_json,
    verdicts_tables,
    versus,
    where,
)


@pytest.fixture
def verdicts(finished_study: Path) -> list[Verdict]:
    grid = load_params(finished_study / "params.yaml").grid
    return judge(comparisons(grid), read_answers(layout.PREDICTIONS, grid), 0.3, seed=0)


def test_words_of_a_difference_name_the_better_one(verdicts: list[Verdict]) -> None:
    assert (where(verdicts[0]), versus(verdicts[0])) == ("color, synthetic", "feasible − infeasible")
    assert verdict_words(verdicts[0], 0.3) == "different: feasible is 3.0 points better than infeasible"
    assert (where(verdicts[-1]), versus(verdicts[-1])) == ("baselines", "real only − zero-shot")
    assert verdict_words(verdicts[-1], 0.3) == "different: real only is 31.0 points better than zero-shot"
    worse = next(v for v in verdicts if where(v) == "color, synthetic" and versus(v) == "infeasible − real only")
    assert verdict_words(worse, 0.3) == "different: infeasible is 13.0 points worse than real only"


def test_models_that_never_differ_on_400_photos_are_undecided(verdicts: list[Verdict]) -> None:
    same = next(v for v in verdicts if versus(v) == "mixed − feasible")
    assert same.difference.mean == 0.0 and same.p_difference == 1.0
    assert verdict_words(same, 0.3).startswith("undecided: about ")
    assert interval_words(same) == "−0.5 to +0.5"


@pytest.mark.parametrize(
    ("needed", "said"),
    [
        ([Size(41234, 2)], "about 41,000 more test photos (photos are the limit: seeds alone would not do) would be"),
        ([Size(400, 9)], "about 7 more seeds (seeds are the limit: photos alone would not do) would be needed"),
        ([Size(950, 2), Size(400, 3)], "about 550 more test photos or 1 more seeds would be needed"),
        ([Size(950, 8)], "about 550 more test photos and 6 more seeds would be needed"),
        ([], "not even 10,000,000 test photos and 1,000 seeds would settle it"),
    ],
)
def test_words_of_the_undecided_say_what_is_lacking(verdicts: list[Verdict], needed: list[Size], said: str) -> None:
    undecided = dataclasses.replace(verdicts[0], outcome="undecided", needed=needed)
    assert verdict_words(undecided, 0.3).startswith(f"undecided: {said}")


def test_words_of_one_seed_and_of_equivalence(verdicts: list[Verdict]) -> None:
    found = dataclasses.replace(verdicts[0], outcome="equivalent", p_difference_holm=0.4)
    assert verdict_words(found, 0.3) == "equivalent within ±0.3"
    found = dataclasses.replace(found, p_difference_holm=0.01)
    assert verdict_words(found, 0.3) == "equivalent within ±0.3 (a difference is there, but smaller than that)"
    one = dataclasses.replace(found, outcome="undecided", difference=dataclasses.replace(found.difference, seeds=1))
    assert "with one seed the spread over seeds is unknown" in verdict_words(one, 0.3)


def test_headline_answers_both_questions(verdicts: list[Verdict]) -> None:
    lines = headline(verdicts, 0.3)
    # per attribute and source: feasible and mixed each 3 above infeasible, and mixed the same as feasible
    assert lines[0] == (
        "Does feasibility matter? Of 12 comparisons 8 different, 0 equivalent within ±0.3 points, 4 undecided."
    )
    assert (
        lines[1]
        == "What does training add? Of 13 comparisons 13 different, 0 equivalent within ±0.3 points, 0 undecided."
    )
    assert lines[2] == "color, synthetic: different: feasible is 3.0 points better than infeasible."
    assert len(lines) == 2 + 8
    undecided = [dataclasses.replace(v, outcome="undecided") for v in verdicts]
    assert headline(undecided, 0.3)[0].endswith("This study is too small to say: all 12 comparisons are undecided.")
    equivalent = [dataclasses.replace(v, outcome="equivalent") for v in verdicts]
    assert "No difference that matters" in headline(equivalent, 0.3)[0]


def test_json_nests_every_comparison_with_its_figures(verdicts: list[Verdict], finished_study: Path) -> None:
    answers = read_answers(layout.PREDICTIONS, load_params(finished_study / "params.yaml").grid)
    found = verdicts_json(verdicts, {model: crossed_mean(right) for model, right in answers.items()}, 0.3)
    pair = found["comparisons"]["feasibility"]["texture"]["real+synthetic"]["feasible_minus_infeasible"]
    assert (pair["points"], pair["photos"], pair["seeds"], pair["outcome"]) == (3.0, 400, 2, "different")
    assert pair["low"] < 3.0 < pair["high"] and pair["p_difference"] <= pair["p_difference_holm"]
    assert found["comparisons"]["gain"]["real_minus_zero_shot"]["points"] == 31.0
    top1 = found["top1"]["real"]
    assert top1["mean"] == 61.0 and top1["low"] < 61.0 < top1["high"]
    assert len(found["top1"]) == 2 + 2 * 3 * 2


def test_metrics_have_names_that_mlflow_takes(verdicts: list[Verdict]) -> None:
    from mlflow.utils.validation import _validate_metric_name

    metrics = verdict_metrics(verdicts)
    assert metrics["verdict/color/real-and-synthetic/feasible_minus_infeasible/points"] == 3.0
    assert len(metrics) == 3 * 25
    for name in metrics:
        _validate_metric_name(name)


def test_tables_hold_a_line_for_every_comparison(verdicts: list[Verdict]) -> None:
    console = Console(file=io.StringIO(), width=200)
    for table in verdicts_tables(verdicts, 0.3):
        console.print(table)
    text = console.file.getvalue()
    assert text.count("points better than infeasible") == 8 and text.count("undecided: about") == 4
    assert text.count("feasible − real only") == 8  # those of infeasible end alike
    assert "400 test photos and 2 seed(s)" in text


def test_small_p_values_are_not_shown_as_zero() -> None:
    assert [p_words(p) for p in (0.00004, 0.0123, 1.0)] == ["< 0.001", "0.012", "1.000"]
