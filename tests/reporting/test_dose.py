"""The curves of a sweep, their file, table, figure and plots."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from varireal.base.files import write_json
from varireal.config import Params, load_params
from varireal.errors import UserError
from varireal.evaluation.predictions import REAL, ZERO_SHOT, Model, Predictions
from varireal.reporting.dose import (
    DoseResponse,
    SweepExperiment,
    dose_headline,
    dose_paths,
    dose_response,
    read_dose_response,
    study_key,
)
from varireal.reporting.dose_drawing import build_dose_plots, dose_figure, dose_grid
from varireal.reporting.experiments import Experiment
from varireal.tables import rich_table

PHOTOS, SEEDS = 200, (0, 1, 2)
REPOSITORY = Path(__file__).parents[2]


def predictions(accuracy: float) -> dict[int, np.ndarray]:
    """Class 0 for the first photos, so many that the accuracy is this; seed 1 and 2 get one and two photos less."""
    return {seed: np.where(np.arange(PHOTOS) < round(accuracy * PHOTOS) - seed, 0, 1) for seed in SEEDS}


def experiment(ratio: float, edits: int = 1) -> SweepExperiment:
    """Accuracy of color falls from 80 to 40 % with the share of infeasible images; of texture it stays at 60 %."""
    predicted = {REAL: predictions(0.7), ZERO_SHOT: {-1: predictions(0.3)[0]}}
    for source in ("synthetic", "real+synthetic"):
        for condition, share in (("feasible", 0.0), ("infeasible", 1.0), ("mixed", ratio)):
            predicted[Model(source, "color", condition)] = predictions(0.8 - 0.4 * share)
            predicted[Model(source, "texture", condition)] = predictions(0.6)
    photos = tuple(f"photo-{number:03}" for number in range(PHOTOS))
    name = f"ratio-{ratio:g}-edits-{edits}"
    own = Experiment(name, Predictions(photos, np.zeros(PHOTOS, int), predicted), None)
    return SweepExperiment(ratio, edits, f"rev-{ratio:g}", own)


def with_predictions(swept: SweepExperiment, **changes: object) -> SweepExperiment:
    predictions = dataclasses.replace(swept.experiment.predictions, **changes)
    return dataclasses.replace(swept, experiment=dataclasses.replace(swept.experiment, predictions=predictions))


@pytest.fixture(scope="module")
def params() -> Params:
    found = load_params(REPOSITORY / "params.yaml")
    grid = found.grid.model_copy(update={"attributes": ["color", "texture"], "seeds": list(SEEDS)})
    report = found.report.model_copy(update={"margin": 0.3})
    return found.model_copy(update={"grid": grid, "report": report})


@pytest.fixture(scope="module")
def sweep(params: Params) -> DoseResponse:
    return dose_response([experiment(ratio) for ratio in (0.5, 0.0, 1.0)], params)


def test_there_is_a_curve_for_every_attribute_and_source(sweep: DoseResponse) -> None:
    assert [curve.name for curve in sweep.curves] == [
        "color, synthetic", "color, real+synthetic", "texture, synthetic", "texture, real+synthetic",
    ]  # fmt: skip
    color = sweep.curves[0]
    assert [(point.ratio, point.mean) for point in color.points] == [(0, 79.5), (0.5, 59.5), (1, 39.5)]
    assert all(point.low < point.mean < point.high for point in color.points)
    assert (color.outcome, color.slope) == ("different", pytest.approx(-40))
    assert color.words == "falls by 40.0 points from all feasible to all infeasible"
    assert sweep.curves[2].slope == 0 and sweep.curves[2].outcome == "undecided"  # so few photos show no ±0.3
    assert sweep.curves[2].words.startswith("undecided: the noise is too large for this margin, and 20 times")
    assert sweep.baselines["real"].mean == 69.5
    assert "falls in 2, rises in 0 and is flat within ±0.3 points in 0 of 4 curves; 2 are" in dose_headline(sweep)
    assert sweep.experiments == {f"ratio-{ratio:g}-edits-1": f"rev-{ratio:g}" for ratio in (0.5, 0, 1)}


def test_each_number_of_edits_has_a_curve_of_its_own(params: Params) -> None:
    found = dose_response([experiment(ratio, edits) for edits in (3, 1) for ratio in (0.0, 1.0)], params)
    assert list(dose_paths(found))[:3] == ["color/synthetic/1-edits", "color/synthetic/3-edits",
                                           "color/real-and-synthetic/1-edits"]  # fmt: skip
    (plot, *_) = build_dose_plots(found)
    assert [line.label for line in plot.lines] == ["1 edit per photo", "3 edits per photo"]
    assert len({line.kind for line in plot.lines}) == 2


def test_an_end_that_is_not_the_pure_condition_is_refused(params: Params) -> None:
    end = experiment(1.0)
    changed = dict(end.experiment.predictions.by_model)
    changed[Model("synthetic", "color", "mixed")] = predictions(0.41)
    torn = with_predictions(end, by_model=changed)
    with pytest.raises(UserError, match="at ratio 1 color mixed synthetic, seed 0, does not predict what color infeas"):
        dose_response([experiment(0.0), torn], params)


def test_other_test_photos_and_missing_seeds_are_refused(params: Params) -> None:
    first, second = experiment(0.0), experiment(1.0)
    other = with_predictions(second, photos=(*second.experiment.predictions.photos[:-1], "another"))
    with pytest.raises(UserError, match="the test sets differ"):
        dose_response([first, other], params)
    grid = params.grid.model_copy(update={"seeds": [0, 7]})
    with pytest.raises(UserError, match="lacks predictions of color mixed synthetic, seed 7"):
        dose_response([experiment(0.25), experiment(0.5)], params.model_copy(update={"grid": grid}))


def test_the_file_is_read_back_for_its_own_study_only(sweep: DoseResponse, params: Params, tmp_path: Path) -> None:
    path = tmp_path / "sweep.json"
    assert read_dose_response(path, params) is None
    write_json(path, {})
    assert read_dose_response(path, params) is None
    write_json(path, sweep.model_dump(mode="json"))
    assert read_dose_response(path, params) == sweep
    half = params.mix.model_copy(update={"ratio": 0.9})
    assert read_dose_response(path, params.model_copy(update={"mix": half})) == sweep
    assert read_dose_response(path, params.model_copy(update={"seed": 5})) is None
    path.write_text('{"dataset": 3}')
    with pytest.raises(UserError, match=r"sweep.json does not hold a sweep \(dataset: .* make it anew"):
        read_dose_response(path, params)


def test_settings_that_change_no_prediction_do_not_make_another_study(params: Params) -> None:
    report = params.report.model_copy(update={"examples": 3})
    compute = params.compute.model_copy(update={"num_threads": 2})
    assert study_key(params.model_copy(update={"report": report, "compute": compute})) == study_key(params)
    assert study_key(params.model_copy(update={"seed": 5})) != study_key(params)


def test_the_terminals_table_shows_points_slope_and_verdict(sweep: DoseResponse) -> None:
    console = Console(width=150, record=True, file=io.StringIO())
    console.print(rich_table(dose_grid(sweep)))
    line = next(line for line in console.export_text().splitlines() if "real+synthetic" in line and "color" in line)
    for words in ("79.5", "59.5", "39.5", "−40.0", "falls by 40.0 points"):
        assert words in line


def test_the_figure_is_a_picture_that_is_the_same_every_time(sweep: DoseResponse) -> None:
    data = dose_figure(sweep)
    picture = Image.open(io.BytesIO(data))
    assert picture.width > 800 and picture.height > 600
    assert data == dose_figure(sweep)


def test_the_pages_plots_hold_points_within_their_box_and_words(sweep: DoseResponse) -> None:
    plots = build_dose_plots(sweep)
    (line,) = plots[0].lines
    assert [round(x) for x, *_ in line.points] == [40, 180, 320]
    assert all(8 <= high < y < low <= 158 for _, y, low, high in line.points)
    assert line.points[0][1] < plots[0].real < line.points[1][1]  # 79.5 above 69.5 above 59.5
    assert "39.5 %" in line.words and "at 1" in line.words
    assert plots[0].verdicts[0].startswith("−40.0 (")
