"""What the controls show in sentences, and where a report tells it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from varireal import paths
from varireal.config import Params, load_params
from varireal.evaluation.comparisons import Verdict, comparisons, grid_models, judge, right_answers
from varireal.evaluation.controls import believed
from varireal.evaluation.predictions import read_predictions
from varireal.reporting.answers import all_sentences, answers, headline
from varireal.reporting.controls import DRAW_LESS, SEE_MORE, controls_answer
from varireal.reporting.curves import build_curves
from varireal.reporting.data import mixes_grid
from varireal.reporting.glance import study_figures
from varireal.reporting.results import left_metrics, read_results
from varireal.reporting.strips import build_charts
from varireal.reporting.table import build_rows, curves_csv, table_csv, table_json
from varireal.reporting.verdicts import verdict_grids, verdicts_json
from varireal.stages.report import command
from varireal.tracking.entries import study_entries


@pytest.fixture
def params(controlled_study: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    monkeypatch.setattr("varireal.evaluation.comparisons.DRAWS", 100)  # no test here looks at the bootstrap
    return load_params(controlled_study / "params.yaml")


@pytest.fixture
def verdicts(params: Params) -> list[Verdict]:
    right = right_answers(read_predictions(paths.PREDICTIONS, grid_models(params.grid)), params.grid)
    return judge(comparisons(params.grid), right, 0.3, seed=0)


def altered(verdicts: list[Verdict], family: str, sources: tuple[str, ...], **values) -> list[Verdict]:
    return [
        dataclasses.replace(v, **values)
        if v.comparison.family == family and v.comparison.first.source in sources
        else v
        for v in verdicts
    ]


BOTH = ("synthetic", "real+synthetic")


def test_the_report_opens_with_the_smallest_harm_seen_and_that_nothing_is_found(verdicts: list[Verdict]) -> None:
    answer = controls_answer(verdicts, 0.3)
    assert answer is not None and answer.able and answer.advice == ""
    smallest = verdicts[-3]  # the same 8 of 400 photos in every seed
    assert smallest.comparison.first.condition == "harm-10" and smallest.p_difference_holm < 0.001
    assert answer.short == (
        "This study sees a harm of 2.0 points alone (10 % wrong labels: −2.0, p < 0.001) and a harm of 2.0 points with "
        "real photos (10 % wrong labels: −2.0, p < 0.001), and finds nothing where nothing is."
    )
    assert answer.parts[0].startswith(
        "alone: 10 % wrong labels: −2.0, p < 0.001; 20 % wrong labels: −8.0, p < 0.001; two draws 0.0 ("
    )
    assert answer.parts[0].endswith("), nothing found")
    assert answer.parts[2] == "real photos alone: +31.0 over zero-shot (p = 0.010), found"
    assert headline(verdicts, 0.3)[:2] == [f"Can this study see? {answer.short}", headline(verdicts, 0.3)[1]]
    assert headline(verdicts, 0.3)[1].startswith("Does feasibility matter?")
    assert all_sentences(verdicts, 0.3)[1] == f"  {answer.parts[0]}"


def test_what_is_not_seen_is_said_first_and_no_comparison_is_equivalent(verdicts: list[Verdict]) -> None:
    feasibility = altered(verdicts, "feasibility", BOTH, outcome="equivalent")
    told = believed(altered(feasibility, "harm", ("synthetic",), p_difference_holm=0.4))
    answer = controls_answer(told, 0.3)
    assert answer is not None and not answer.able and answer.advice == SEE_MORE
    assert answer.short.startswith("Edits alone: this study does not see 20 % wrong labels (−8.0, ")
    assert "p = 0.400). This study sees a harm of 2.0 points with real photos (" in answer.short
    assert answer.short.endswith("So no comparison there is called equivalent, but “not shown to be able to see”.")
    assert answer.parts[0].startswith("alone: 10 % wrong labels: −2.0, p = 0.400 not found; 20 % wrong labels: −8.0, ")
    assert "6 equivalent, 6 not shown to be able to see (margin ±0.3)" in answers(told, 0.3)[0].short
    assert headline(told, 0.3)[1] == f"  {SEE_MORE}"


def test_something_found_between_two_draws_is_said_first(verdicts: list[Verdict]) -> None:
    answer = controls_answer(altered(verdicts, "null", BOTH, p_difference_holm=0.01), 0.3)
    assert answer is not None and not answer.able and answer.advice == DRAW_LESS
    assert answer.short.startswith("Edits alone: this study finds a difference where nothing is but the draw (0.0, ")
    assert answer.short.endswith("So no comparison is called equivalent, but “not shown to be able to see”.")
    assert "This study sees" not in answer.short


def test_a_margin_wider_than_the_largest_known_harm_is_said(verdicts: list[Verdict]) -> None:
    """20 % wrong labels cost 8 points of top-1 in both sources."""
    for margin, said in ((7.9, 0), (8.1, 2)):
        answer = controls_answer(verdicts, margin)
        assert answer is not None and answer.able
        words = f"even 20 % wrong labels cost less than the margin of {margin:g} points"
        assert answer.short.count(words) == said
    assert headline(verdicts, 8.1)[0].count("may hide a harm of that size") == 2


def test_several_attributes_are_named(verdicts: list[Verdict]) -> None:
    texture = [
        dataclasses.replace(
            v, comparison=dataclasses.replace(
                v.comparison,
                first=dataclasses.replace(v.comparison.first, attribute="texture"),
                second=dataclasses.replace(v.comparison.second, attribute="texture"),
            ),
        )
        for v in verdicts
        if v.comparison.family in ("harm", "null")
    ]  # fmt: skip
    answer = controls_answer([*verdicts, *altered(texture, "harm", BOTH, p_difference_holm=0.4)], 0.3)
    assert answer is not None
    assert answer.short.startswith("Edits alone on texture: this study does not see 20 % wrong labels (")
    assert "sees a harm of 2.0 points alone on color (10 % wrong labels" in answer.short


def test_controls_are_told_apart_in_tables_charts_and_files(params: Params, verdicts: list[Verdict]) -> None:
    results = read_results(params.grid)
    assert [cell.name for cell in results.controls][:2] == ["color harm-20 synthetic", "color harm-20 real+synthetic"]
    rows = build_rows(results)
    table = table_json(rows, verdicts)
    assert "harm-20" not in table["cells"]["color"]
    blocks = study_figures(rows, verdicts, params)
    assert "harm-20    43.0  63.0" in str(blocks["color"]).splitlines() and "harm" not in str(blocks["texture"])
    assert table["controls"]["color"]["harm-20"]["synthetic"]["minus_real"] == -18.0
    assert "color harm-20 synthetic,color,harm-20,synthetic,2,43.0" in table_csv(rows)
    assert [panel.title for panel in build_charts(rows)] == ["color", "texture", "color, controls"]
    plots = build_curves(results, "val_top1")
    assert plots[-1].title == "color, real+synthetic, controls"
    assert {curve.kind for curve in plots[-1].curves} == {"real", "harm", "null"}
    without = dataclasses.replace(results, controls=())
    assert curves_csv(results) == curves_csv(without)  # the mean over the study's cells
    lines = {line.cells[:2]: line.cells for line in mixes_grid(results).lines}
    assert lines["color", "20 % wrong labels"][-1] == "0"  # as the made-up metrics have none
    titles = [grid.title for grid in verdict_grids(verdicts, 0.3)]
    assert [t for t in titles if t.startswith("Control: ")] == titles[-2:] and len(titles) == 4
    told = verdicts_json(verdicts, {}, 0.3)
    assert list(told) == ["controls", "margin", "alpha", "questions", "comparisons", "top1"]
    assert set(told["questions"]) == {"feasibility", "gain"}
    assert told["controls"]["able"] is True
    assert told["controls"]["cells"]["color"]["synthetic"] == {
        "able": True, "smallest_harm_seen": "harm-10", "points": -2.0, "finds_nothing": True,
    }  # fmt: skip
    assert told["comparisons"]["harm"]["color"]["synthetic"]["harm_20_minus_feasible"]["points"] == -8.0
    entries = {entry.name: entry.params for entry in study_entries(params, results)}
    assert entries["color harm-20 synthetic seed 1"]["ratio"] == "0.0"
    assert entries["color null-b synthetic seed 0"]["ratio"] == "0.5"


def test_the_page_and_the_terminal_open_with_them(
    controlled_study: Path, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # that nobody answers for
    other = controlled_study / "metrics/train/texture_harm-30.json"  # of an earlier grid
    other.write_text("{}")
    assert left_metrics(params.grid) == [other.relative_to(controlled_study)]
    result = CliRunner().invoke(command, [], catch_exceptions=False)
    assert not other.exists() and (controlled_study / "metrics/train/color_harm-20.json").exists()
    lines = result.output.splitlines()
    assert lines[1].startswith("Can this study see? This study sees a harm of 2.0 points alone (10 % wrong labels: ")
    assert len(lines) - 1 <= 15  # the first tells what was removed
    page = paths.PAGE.read_text()
    places = [page.index(text) for text in ("Can this study see?", "Does feasibility matter?", "Control: is a known")]
    assert places == sorted(places) and "This study was made without controls" not in page
    assert (paths.REPORTS / "figures/null.png").is_file()
    assert paths.SUMMARY.read_text().startswith("* Can this study see? This study sees")
    assert json.loads(paths.VERDICTS.read_text())["controls"]["able"]
