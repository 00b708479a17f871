"""The runs in MLflow, in a real sqlite store."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from tests.tracking.logged import MADE, client, log, runs

from varireal.config import Params
from varireal.reporting.results import CellResult, Results
from varireal.tracking import TrackingError
from varireal.tracking.entries import short_name, study_entries, study_name
from varireal.tracking.notes import experiment_note, study_note

if TYPE_CHECKING:
    from mlflow import MlflowClient


def test_every_cell_has_one_run_below_the_parent_however_often_it_is_logged(
    finished_study: Path, study: tuple[Params, Results]
) -> None:
    where = log(study)
    before = runs(finished_study)
    parent = next(run for run in before.values() if "mlflow.parentRunId" not in run.data.tags)
    assert f"run '{parent.info.run_name}'" in where
    children = {name: run for name, run in before.items() if run is not parent}
    assert set(children) == {
        "zero-shot", "real seed 0", "real seed 1", "color feasible synthetic seed 0", "color feasible synthetic seed 1",
        "color infeasible synthetic seed 0", "color infeasible synthetic seed 1",
    }  # fmt: skip
    assert {run.data.tags["mlflow.parentRunId"] for run in children.values()} == {parent.info.run_id}
    assert {run.info.status for run in before.values()} == {"FINISHED"}

    cell = children["color infeasible synthetic seed 1"]
    assert cell.data.params == {
        "cell": "col inf", "attribute": "color", "condition": "infeasible",
        "training_source": "synthetic", "ratio": "1.0", "seed": "1",
    }  # fmt: skip
    assert (cell.data.metrics["data/cmmd"], cell.data.metrics["data/clip_gain"]) == (2.0, 10.0)
    assert cell.data.metrics["test/top1"] == 49.0 and cell.data.metrics["val/best_top1"] == 51.0
    history = client(finished_study).get_metric_history(cell.info.run_id, "val/top1")
    assert sorted((point.step, point.value) for point in history) == [(0, 41), (5, 46), (10, 51)]
    (given,) = cell.inputs.dataset_inputs
    assert (given.dataset.name, given.dataset.digest) == ("rendered_aircraft", "d1")
    table = Path(client(finished_study).download_artifacts(cell.info.run_id, "per_class.json"))
    assert json.loads(table.read_text())["data"] == [["<b>jet</b>", None], ["glider", 49.0]]

    assert parent.data.params == {"mix.ratio": "0.5"}
    settings = Path(client(finished_study).download_artifacts(parent.info.run_id, "params.yaml"))
    assert Params.model_validate(yaml.safe_load(settings.read_text())) == study[0]  # all of them, as a file
    assert parent.data.metrics["color/infeasible/synthetic/top1"] == 48.0
    assert parent.data.metrics["data/color/feasible/cmmd"] == 0.5
    assert parent.data.tags["mlflow.source.git.commit"] == "c0ffee"

    log(study)
    assert {name: run.info.run_id for name, run in runs(finished_study).items()} == {
        name: run.info.run_id for name, run in before.items()
    }


def test_a_changed_cell_replaces_its_run_only(finished_study: Path, study: tuple[Params, Results]) -> None:
    log(study)
    before = runs(finished_study)
    params, results = study
    first = results.cells[0]
    better = dataclasses.replace(first, runs=(dataclasses.replace(first.runs[0], top1=77.0), *first.runs[1:]))
    log((params, dataclasses.replace(results, cells=(better, *results.cells[1:]))))
    after = runs(finished_study)
    changed = {name for name, run in after.items() if run.info.run_id != before[name].info.run_id}
    assert changed == {"color feasible synthetic seed 0"}
    assert after["color feasible synthetic seed 0"].data.metrics["test/top1"] == 77.0
    parent = next(run for run in after.values() if "mlflow.parentRunId" not in run.data.tags)
    assert parent.data.metrics["color/feasible/synthetic/top1"] == pytest.approx((77.0 + 52.0) / 2)


def test_another_experiment_gets_a_parent_and_children_of_its_own(
    finished_study: Path, study: tuple[Params, Results]
) -> None:
    log(study)
    params, results = study
    mix = params.mix.model_copy(update={"ratio": 0.25})
    changed = {"mix.ratio": 0.25, "grid.attributes": ["color"], "watch.photos": "photos"}
    made = dataclasses.replace(MADE, experiment="quarter", changed_settings=changed)
    log((params.model_copy(update={"mix": mix}), results), made)
    store = client(finished_study)
    experiment = store.get_experiment_by_name("rendered_aircraft")
    assert experiment is not None
    found = store.search_runs([experiment.experiment_id])
    parents = {run.info.run_name: run for run in found if "mlflow.parentRunId" not in run.data.tags}
    name = "ratio 0.25 · attributes [color] · quarter"
    assert set(parents) == {"ratio 0.5", name}
    assert parents[name].data.params == {"mix.ratio": "0.25", "grid.attributes": '["color"]'}
    assert len({run.data.tags["mlflow.runColor"] for run in parents.values()}) == 2
    links = experiment.tags["mlflow.note.content"].split(" | ")
    assert len(links) == 2 and f"[{name}]" in links[0] and "[ratio 0.5]" in links[1]
    assert len(found) == 2 * (1 + len(study_entries(params, results)))


def test_a_run_that_was_cut_short_is_logged_again(
    finished_study: Path, study: tuple[Params, Results], monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow
    from mlflow.exceptions import MlflowException

    def fail(self: MlflowClient, run_id: str, data: object, artifact_file: str) -> None:
        raise MlflowException("the disk of artifacts is gone\nand more")

    with monkeypatch.context() as patch:
        patch.setattr(mlflow.MlflowClient, "log_table", fail)
        with pytest.raises(TrackingError, match=r"^the disk of artifacts is gone$"):
            log(study)
    assert runs(finished_study)["zero-shot"].info.status == "FAILED"
    log(study)
    assert {run.info.status for run in runs(finished_study).values()} == {"FINISHED"}
    assert len(runs(finished_study)) == 1 + len(study_entries(*study))


def test_deleted_runs_are_logged_again(finished_study: Path, study: tuple[Params, Results]) -> None:
    log(study)
    before = set(runs(finished_study))
    for run in runs(finished_study).values():
        client(finished_study).delete_run(run.info.run_id)
    log(study)
    assert set(runs(finished_study)) == before


def test_sending_again_replaces_every_run(finished_study: Path, study: tuple[Params, Results]) -> None:
    log(study)
    before = runs(finished_study)
    log(study, anew=True)
    after = runs(finished_study)
    assert after.keys() == before.keys()
    assert not {run.info.run_id for run in after.values()} & {run.info.run_id for run in before.values()}


@pytest.mark.parametrize(
    ("condition", "source", "name"),
    [
        ("infeasible", "real+synthetic", "bg+r inf"),
        ("harm-20", "real+synthetic", "bg+r h20"),
        ("null-b", "synthetic", "bg nb"),
    ],
)
def test_names_on_the_axis_fit_the_eight_characters_that_are_shown(condition: str, source: str, name: str) -> None:
    cell = CellResult("background", condition, source, ())
    assert short_name(cell) == name and len(name) <= 8


def test_a_study_is_described_by_its_verdict_and_a_low_figure() -> None:
    summary = "* Does it? By less than 2 points.\n  * color: less than 1 point\n* And training? A lot.\n\n| cell |\n"
    told = study_note(summary, "#/cells", "#/studies", "get-artifact?path=a.png&run_uuid=b")
    first, second = told.split("  \n")  # a line break within one paragraph: a second one would be folded away
    assert first == "Does it? By less than 2 points. Compare **[cells](#/cells)** or **[studies](#/studies)**"
    assert second == "![Feasible minus infeasible, with intervals](get-artifact?path=a.png&run_uuid=b)"
    assert study_note("", "#/a", "#/b", None) == "Compare **[cells](#/a)** or **[studies](#/b)**"


def test_links_of_an_experiment_are_kept_by_where_they_lead() -> None:
    note = experiment_note(None, "#/all", "ratio 0.5", "#/one")
    note = experiment_note(note, "#/all", "ratio 0.5", "#/two")  # another study of the same name
    assert note == "Compare [all studies](#/all), the cells of [ratio 0.5](#/two) | [ratio 0.5](#/one)"
    renamed = experiment_note(note, "#/all", "ratio 0.5 · x", "#/one")
    assert renamed == "Compare [all studies](#/all), the cells of [ratio 0.5 · x](#/one) | [ratio 0.5](#/two)"
    replaced = experiment_note(note, "#/all", "sweep", "#/three", "#/two")
    assert replaced == "Compare [all studies](#/all), the cells of [sweep](#/three) | [ratio 0.5](#/one)"
    old = experiment_note("Compare the cells of [pets](#/one) | [x](#/four)", "#/all", "ratio 1", "#/one")
    assert old == "Compare [all studies](#/all), the cells of [ratio 1](#/one) | [x](#/four)"
    assert experiment_note("my own words", "#/all", "ratio 1", "#/one") is None


def test_a_description_of_somebody_elses_is_left_alone(finished_study: Path, study: tuple[Params, Results]) -> None:
    log(study)
    store = client(finished_study)
    experiment = store.get_experiment_by_name("rendered_aircraft")
    store.set_experiment_tag(experiment.experiment_id, "mlflow.note.content", "my own words")
    log(study)
    assert store.get_experiment(experiment.experiment_id).tags["mlflow.note.content"] == "my own words"


@pytest.mark.parametrize(
    ("ratio", "changed", "experiment", "name"),
    [
        (0.5, {}, None, "ratio 0.5"),
        (0.25, {"mix.ratio": 0.25, "watch.photos": "photos"}, "dying-obit", "ratio 0.25 · dying-obit"),
        (1.0, {"grid.attributes": ["color"], "train.max_steps": 3}, None, "ratio 1 · attributes [color], max_steps 3"),
        (0.5, {"a.b": 1, "a.c": 2, "a.d": None, "a.e": 4, "a.f": "x"}, None,
         "ratio 0.5 · b 1, c 2, d null, 2 more changes"),
        (0.5, {"clip.model": "ViT", "dataset.root": "/photos"}, None, "ratio 0.5"),
    ],
)  # fmt: skip
def test_names_tell_the_ratio_and_what_differs_from_the_commit(
    ratio: float, changed: dict[str, Any], experiment: str | None, name: str
) -> None:
    assert study_name(ratio, dataclasses.replace(MADE, changed_settings=changed, experiment=experiment)) == name
