"""The prepared views of an experiment, and the descriptions that lead to them."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.tracking.logged import client, log, runs

from varireal.config import Params
from varireal.reporting.results import Results

if TYPE_CHECKING:
    from mlflow.entities import Experiment


def view_at(experiment: Experiment, link: str) -> dict[str, Any]:
    """The prepared view that a link within MLflow's pages opens."""
    key = re.search(r"viewStateShareKey=(\w+)", link)
    assert key is not None
    return json.loads(experiment.tags[f"mlflow.sharedViewState.{key[1]}"])


def test_descriptions_lead_to_prepared_views_of_the_cells_and_of_all_studies(
    finished_study: Path, study: tuple[Params, Results]
) -> None:
    log(study)
    store = client(finished_study)
    experiment = store.get_experiment_by_name("rendered_aircraft")
    assert experiment is not None
    parent = runs(finished_study)["ratio 0.5"]
    note = parent.data.tags["mlflow.note.content"]
    assert note.startswith("It does not. ")
    cells, studies = (view_at(experiment, link) for link in re.findall(r"\]\((#[^)]+)\)", note))
    assert all(link in experiment.tags["mlflow.note.content"] for link in re.findall(r"\]\((#[^)]+)\)", note))

    found = store.search_runs(
        [experiment.experiment_id], cells["searchFilter"], order_by=[f"{cells['orderByKey']} ASC"]
    )
    assert {run.info.run_name for run in found} == runs(finished_study).keys() - {"ratio 0.5"}
    assert cells["groupBy"] is None  # every seed is a dot
    names = [run.data.params["cell"] for run in found]
    assert names == ["col feas"] * 2 + ["col inf"] * 2 + ["real"] * 2 + ["zero-shot"]
    colours = {run.data.params["condition"]: run.data.tags["mlflow.runColor"] for run in found}
    assert colours == {"feasible": "#1668b8", "infeasible": "#c4471d", "none": "#6e7781"}
    for chart in cells["compareRunCharts"]:
        assert chart["xaxis"] == {"key": "cell", "type": "PARAM"}
        assert chart["yaxis"]["dataAccessKey"] in found[0].data.metrics

    (only,) = store.search_runs([experiment.experiment_id], studies["searchFilter"])
    assert only.info.run_id == parent.info.run_id
    shown = {chart["metricKey"]: only.data.metrics[chart["dataAccessKey"]] for chart in studies["compareRunCharts"]}
    assert shown == {"color feasible": 51.0, "color infeasible": 48.0}


def test_a_smaller_grid_takes_no_chart_from_the_comparison_of_studies(
    finished_study: Path, study: tuple[Params, Results]
) -> None:
    log(study)
    params, results = study
    grid = params.grid.model_copy(update={"conditions": ["infeasible"]})
    log((params.model_copy(update={"grid": grid}), dataclasses.replace(results, cells=results.cells[1:])))
    experiment = client(finished_study).get_experiment_by_name("rendered_aircraft")
    charts = view_at(experiment, "viewStateShareKey=studies")["compareRunCharts"]
    assert [chart["metricKey"] for chart in charts] == ["color feasible", "color infeasible"]
