"""The section about the data: its table, its causes and its plots."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from varireal import paths
from varireal.base.files import read_json, write_json
from varireal.config import load_params
from varireal.errors import UserError
from varireal.evaluation.comparisons import Verdict, comparisons, grid_models, judge, right_answers
from varireal.evaluation.predictions import read_predictions
from varireal.reporting.data import build_data_plots, causes_grid, data_grid, explaining, strength_words
from varireal.reporting.results import Results, read_results


@pytest.fixture
def results(finished_study: Path) -> Results:
    return read_results(load_params(paths.PARAMS).grid)


@pytest.fixture
def verdicts(finished_study: Path, monkeypatch: pytest.MonkeyPatch) -> list[Verdict]:
    monkeypatch.setattr("varireal.evaluation.comparisons.DRAWS", 100)
    grid = load_params(paths.PARAMS).grid
    right = right_answers(read_predictions(paths.PREDICTIONS, grid_models(grid)), grid)
    return judge(comparisons(grid), right, 0.3, seed=0)


def changed(results: Results, **figures: float | None) -> Results:
    cell = ("color", "feasible")
    return dataclasses.replace(results, measured={**results.measured, cell: {**results.measured[cell], **figures}})


def test_the_table_has_every_cell_and_the_real_photos(results: Results) -> None:
    grid = data_grid(results)
    assert [line.cells[:2] for line in grid.lines] == [
        ("color", "feasible"), ("color", "infeasible"), ("texture", "feasible"), ("texture", "infeasible"),
        ("real photos", "val to train"),
    ]  # fmt: skip
    named = dict(zip((column.name for column in grid.columns), grid.lines[1].cells))
    assert named == {
        "attribute": "color", "feasibility": "infeasible", "edits": "5", "exact": "yes", "SSIM": "0.50",
        "PSNR": "12.0", "ΔE": "–", "changed": "–",
        "CLIP": "30.0", "gained": "+10.0", "CMMD": "2.000", "diversity": "0.750",
        "passed": "83 %",
    }  # fmt: skip
    assert grid.lines[-1].cells[2:] == ("6", "–", "–", "–", "–", "–", "–", "–", "0.100", "0.800", "–")


def test_leaks_samples_and_what_is_unknown_are_said(results: Results) -> None:
    cells = data_grid(changed(results, changed_outside=3, measured=4, psnr_inside=None)).lines[0].cells
    assert cells[2:6] == ("4 of 5", "no: 3", "0.50", "–")
    unknown = dict.fromkeys(("changed_outside", "clip_score", "clip_score_of_photo", "cmmd", "ssim_inside"))
    cells = data_grid(changed(results, **unknown)).lines[0].cells
    assert cells[3:11] == ("–", "–", "12.0", "–", "–", "–", "–", "–")
    assert explaining(changed(results, **unknown).measured["color", "feasible"]) == {"diversity": 0.75}


def with_strengths(results: Results, feasible: float, infeasible: float) -> Results:
    given = {"feasible": feasible, "infeasible": infeasible}
    measured = {cell: figures | {"delta_e": given[cell[1]], "lost": 0.04} for cell, figures in results.measured.items()}
    return dataclasses.replace(results, measured=measured)


def test_how_strong_edits_are_stands_in_the_table_and_unequal_strength_is_told(results: Results) -> None:
    uneven = with_strengths(results, 22.4, 46.0)
    grid = data_grid(uneven)
    named = dict(zip((column.name for column in grid.columns), grid.lines[0].cells))
    assert (named["ΔE"], named["changed"]) == ("22.4", "4 %")
    assert explaining(uneven.measured["color", "feasible"])["delta_e"] == 22.4  # so the page and MLflow have it
    assert strength_words(uneven) == [
        "Feasible and infeasible edits differ in strength too: color (mean ΔE 22 feasible, 46 infeasible), texture "
        "(mean ΔE 22 feasible, 46 infeasible). What differs between models of the two may come from that, and not from "
        "feasibility."
    ]
    assert strength_words(with_strengths(results, 20, 30)) == []  # from one and a half times
    assert strength_words(with_strengths(results, 30.1, 20)) != []
    assert strength_words(results) == []  # of a version that did not measure it


def test_failures_are_counted_by_cause(results: Results) -> None:
    masks = {"a": "its mask is empty", "b": "its mask is empty", "c": "it has no mask"}
    by_question = {"attribute": 0.75, "class": 1.0}
    failures = {
        "failed_photos": masks,
        "failed_edits": {"a#0": "memory"},
        "first_pass_rate_by_question": by_question,
    }
    cell = ("texture", "feasible")
    edits = {cell: {**results.edits[cell], **failures}}
    lines = [line.cells[2:] for line in causes_grid(dataclasses.replace(results, edits=edits)).lines]
    assert lines == [
        ("photo not edited: it has no mask", "1 photo"),
        ("photo not edited: its mask is empty", "2 photos"),
        ("edit could not be made: memory", "1 edit"),
        ("no attempt passed the filter", "1 edit"),
        ("first attempt rejected for its attribute", "25 %"),
    ]
    none = {"failed_photos": {}, "failed_edits": {}, "exhausted": 0, "first_pass_rate_by_question": {"class": None}}
    assert causes_grid(dataclasses.replace(results, edits={cell: {**results.edits[cell], **none}})) is None


def test_dots_stand_where_gain_and_figure_put_them(results: Results, verdicts: list[Verdict]) -> None:
    plots = build_data_plots(results, verdicts)
    assert [plot.title for plot in plots] == ["synthetic"] * 4 + ["real+synthetic"] * 4
    cmmd = plots[0]
    assert cmmd.label.endswith("(CMMD)") and len(cmmd.dots) == 4  # mixed has none
    feasible, infeasible = cmmd.dots[:2]
    assert (feasible.kind, feasible.shape, infeasible.kind, cmmd.dots[2].shape) == (
        "feasible", "circle", "infeasible", "square",
    )  # fmt: skip
    # axis 0.4..2 or wider: 0.5 left of 2.0; feasible is 10 points below real only, infeasible 13
    (left, low), (right, high) = (
        (float(label.replace("−", "-")), x) for label, x in (cmmd.x_ticks[0], cmmd.x_ticks[-1])
    )
    assert feasible.x == pytest.approx(low + (0.5 - left) / (right - left) * (high - low))
    ticks = dict(cmmd.y_ticks)
    assert feasible.y < infeasible.y and ticks["−10"] == pytest.approx(feasible.y, abs=1e-6)
    assert feasible.high < feasible.y < feasible.low
    assert feasible.words.startswith("color feasible: −10.0 points (") and feasible.words.endswith(") at 0.5")


def test_a_cell_that_was_not_measured_is_named(results: Results) -> None:
    path = paths.MEASURED
    found = read_json(path)
    del found["cells"]["texture"]["infeasible"]
    write_json(path, found)
    with pytest.raises(UserError, match=r"measure\.json holds nothing of texture infeasible; .* dvc repro measure"):
        read_results(load_params(paths.PARAMS).grid)
