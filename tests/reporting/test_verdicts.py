"""Verdicts as words, JSON, a table and numbers."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from varireal import paths
from varireal.config import load_params
from varireal.evaluation.comparisons import Verdict, comparisons, grid_models, judge, right_answers
from varireal.evaluation.planning import Size
from varireal.evaluation.predictions import read_predictions
from varireal.evaluation.statistics import crossed_mean
from varireal.reporting.figures import strip_figure
from varireal.reporting.verdicts import verdict_grids, verdict_metrics, verdicts_json
from varireal.reporting.words import interval_words, p_words, verdict_words, versus, where
from varireal.tables import rich_table


@pytest.fixture
def verdicts(finished_study: Path, monkeypatch: pytest.MonkeyPatch) -> list[Verdict]:
    monkeypatch.setattr("varireal.evaluation.comparisons.DRAWS", 100)  # no test here looks at the bootstrap
    grid = load_params(finished_study / "params.yaml").grid
    right = right_answers(read_predictions(paths.PREDICTIONS, grid_models(grid)), grid)
    return judge(comparisons(grid), right, 0.3, seed=0)


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
    assert verdict_words(same, 0.3).startswith("undecided: needs about ")
    assert interval_words(same) == "−0.5 to +0.5"


@pytest.mark.parametrize(
    ("needed", "said"),
    [
        ([Size(41234, 2)], "undecided: needs about 41,000 more photos"),
        ([Size(400, 9)], "undecided: needs about 7 more seeds"),
        ([Size(950, 2), Size(400, 3)], "undecided: needs about 550 more photos or 1 more seed"),
        ([Size(950, 8)], "undecided: needs about 550 more photos and 6 more seeds"),
        (
            [],
            "undecided: the noise is too large for this margin, and 20 times the photos and seeds would not do; "
            "widen the margin or lower the noise",
        ),
    ],
)
def test_words_of_the_undecided_say_what_is_lacking(verdicts: list[Verdict], needed: list[Size], said: str) -> None:
    undecided = dataclasses.replace(verdicts[0], outcome="undecided", needed=needed)
    assert verdict_words(undecided, 0.3) == said


def test_words_of_one_seed_and_of_equivalence(verdicts: list[Verdict]) -> None:
    found = dataclasses.replace(verdicts[0], outcome="equivalent", p_difference_holm=0.4)
    assert verdict_words(found, 0.3) == "equivalent within ±0.3"
    found = dataclasses.replace(found, p_difference_holm=0.01)
    assert verdict_words(found, 0.3) == "equivalent within ±0.3 (a difference is there, but smaller than that)"
    one = dataclasses.replace(found, outcome="undecided", difference=dataclasses.replace(found.difference, seeds=1))
    assert verdict_words(one, 0.3) == "undecided: needs a second seed, to know the spread over seeds"


def test_a_difference_near_the_margin_is_called_that(verdicts: list[Verdict]) -> None:
    hopeless = dataclasses.replace(verdicts[0], outcome="undecided", needed=[])  # a difference of 3 points
    for margin in (1.5, 3.0, 6.0):
        assert "the difference measured is about the margin itself, and 20 times" in verdict_words(hopeless, margin)
    for margin in (1.4, 6.1):
        assert "the noise is too large for this margin, and 20 times" in verdict_words(hopeless, margin)


def test_json_nests_every_comparison_with_its_figures(verdicts: list[Verdict], finished_study: Path) -> None:
    grid = load_params(finished_study / "params.yaml").grid
    right = right_answers(read_predictions(paths.PREDICTIONS, grid_models(grid)), grid)
    found = verdicts_json(verdicts, {model: crossed_mean(each) for model, each in right.items()}, 0.3)
    pair = found["comparisons"]["feasibility"]["texture"]["real+synthetic"]["feasible_minus_infeasible"]
    assert pair["bound"] > 3.0 and 0 < pair["detectable"] < 3.0
    assert (pair["points"], pair["photos"], pair["seeds"], pair["outcome"]) == (3.0, 400, 2, "different")
    assert pair["low"] < 3.0 < pair["high"] and pair["p_difference"] <= pair["p_difference_holm"]
    assert found["comparisons"]["gain"]["real_minus_zero_shot"]["points"] == 31.0
    top1 = found["top1"]["real"]
    assert top1["mean"] == 61.0 and top1["low"] < 61.0 < top1["high"]
    assert len(found["top1"]) == 2 + 2 * 3 * 2
    question = found["questions"]["feasibility"]
    own = [v for v in verdicts if v.comparison.family == "feasibility"]
    assert (question["comparisons"], question["different"], question["undecided"]) == (12, 8, 4)
    assert 0 <= question["bound"] - own[0].family_bound < 1e-4  # rounded up, so that it still holds
    assert question["detectable"] == pytest.approx(max(v.detectable for v in own), abs=1e-4)
    assert question["answer"].startswith("By less than 4.1 points in all 12 comparisons (95 %)")


def test_metrics_have_names_that_mlflow_takes(verdicts: list[Verdict]) -> None:
    from mlflow.utils.validation import _validate_metric_name

    metrics = verdict_metrics(verdicts_json(verdicts, {}, 0.3))
    assert metrics["verdict/color/real-and-synthetic/feasible_minus_infeasible/points"] == 3.0
    assert metrics["verdict/color/real-and-synthetic/feasible_minus_infeasible/bound"] > 3.0
    assert metrics["question/feasibility/bound"] == 4.056
    assert len(metrics) == 5 * 25 + 2 * 2
    for name in metrics:
        _validate_metric_name(name)


def test_what_has_no_bound_is_left_out_of_the_metrics(verdicts: list[Verdict]) -> None:
    one_seed = [dataclasses.replace(v, bound=None, family_bound=None, detectable=None) for v in verdicts]
    told = verdicts_json(one_seed, {}, 0.3)
    assert told["questions"]["gain"]["bound"] is None
    assert len(verdict_metrics(told)) == 3 * 25
    del told["questions"]  # as an earlier version wrote it
    assert len(verdict_metrics(told)) == 3 * 25


def test_tables_hold_a_line_for_every_comparison(verdicts: list[Verdict]) -> None:
    console = Console(file=io.StringIO(), width=200)
    for grid in verdict_grids(verdicts, 0.3):
        console.print(rich_table(grid))
    text = console.file.getvalue()
    assert text.count("points better than infeasible") == 8 and text.count("undecided: needs about") == 4
    assert text.count("feasible − real only") == 8  # those of infeasible end alike
    assert "400 test photos and 2 seeds" in text


def test_small_p_values_are_not_shown_as_zero() -> None:
    assert [p_words(p) for p in (0.00004, 0.0123, 1.0)] == ["< 0.001", "0.012", "1.000"]


def test_the_strip_of_intervals_is_low_and_drawn_where_feasible_met_infeasible(verdicts: list[Verdict]) -> None:
    drawn = strip_figure(verdicts, 0.3)
    assert drawn is not None and drawn == strip_figure(verdicts, 0.3)
    picture = Image.open(io.BytesIO(drawn)).convert("RGB")
    assert picture.size == (780, 54)  # MLflow folds descriptions above 100 pixels, a line and margins included
    # one that differs is red, in the panel of each source: synthetic to the left, with real photos to the right
    reds = [x for x in range(780) for y in range(54) if picture.getpixel((x, y)) == (0xC4, 0x47, 0x1D)]
    assert min(reds) < 390 < max(reds)
    assert strip_figure([v for v in verdicts if versus(v) != "feasible − infeasible"], 0.3) is None
