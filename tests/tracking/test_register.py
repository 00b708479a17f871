"""The best model in MLflow's registry: chosen by val, packed whole, registered once, and answering photos."""

from __future__ import annotations

import base64
import dataclasses
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from tests.serving.conftest import CLASSES, make_adapter, picture

from varireal import paths
from varireal.base.files import encode_png
from varireal.cli import main
from varireal.config import ClipConfig, load_params
from varireal.errors import UserError
from varireal.reporting.results import Results, read_results
from varireal.tracking.register import best_run

if TYPE_CHECKING:
    from mlflow import MlflowClient

NAME = "aircraft by <b>CLIP"


@pytest.fixture
def results(finished_study: Path) -> Results:
    return read_results(load_params(finished_study / "params.yaml").grid)


@pytest.fixture
def study(finished_study: Path, empty_store: Path, tiny_clip: Path) -> Path:
    """A finished study whose best cell has an adapter, with an empty store; registering is not asked for yet."""
    shutil.copy(empty_store, finished_study / "mlflow.db")
    folder = paths.adapter_folder("color", "feasible") / "real+synthetic"
    made = make_adapter(folder, ClipConfig(model=f"local-dir:{tiny_clip}", pretrained=None))
    made.rename(folder / "seed-1")
    return finished_study


def ask(root: Path, **tracking: object) -> None:
    params = yaml.safe_load((root / "params.yaml").read_text())
    params["tracking"] |= tracking
    (root / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))


def run(*command: str, code: int = 0) -> str:
    done = CliRunner().invoke(main, command)
    assert done.exit_code == code, done.output
    return f"{done.output}{done.exception or ''}"


def client(root: Path) -> MlflowClient:
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{root / 'mlflow.db'}")


def test_val_chooses_and_test_does_not(results: Results) -> None:
    cell, chosen = best_run(results)
    assert (cell.name, chosen.seed) == ("color feasible real+synthetic", 1)  # all are alike on val: the first
    worse_on_test = next(each for each in results.cells if each.name == "texture infeasible real+synthetic")
    better_on_val = dataclasses.replace(
        worse_on_test,
        runs=tuple(
            dataclasses.replace(run, val_top1=val, top1=0.0) for run, val in zip(worse_on_test.runs, (53.0, 52.0))
        ),
    )
    cells = tuple(better_on_val if each is worse_on_test else each for each in results.cells)
    cell, chosen = best_run(dataclasses.replace(results, cells=cells))
    assert (cell.name, chosen.seed) == ("texture infeasible real+synthetic", 0)
    synthetic = tuple(dataclasses.replace(each, source="synthetic") for each in results.cells)
    with pytest.raises(UserError, match=r"real\+synthetic, which grid.sources does not name"):
        best_run(dataclasses.replace(results, cells=synthetic))


def test_the_registered_model_answers_a_photo_and_is_registered_once(study: Path) -> None:
    import pandas as pd
    from mlflow.pyfunc import load_model

    run("report")
    assert client(study).search_registered_models() == []
    ask(study, register_model="aircraft CLIP")
    said = run("track")
    assert "MLflow: model 'aircraft CLIP', version 1 (color feasible real+synthetic, seed 1)" in said
    assert "version 1" in run("track")

    (version,) = client(study).search_model_versions("name = 'aircraft CLIP'")
    assert client(study).get_model_version_by_alias("aircraft CLIP", "best").version == version.version
    assert (
        version.description == "color feasible real+synthetic, seed 1: 50.5 % on val over all seeds, 51.0 % this one."
    )
    parents = client(study).search_runs(["1"], "tags.varireal.cell = 'study'")
    assert len(parents) == 1, "registering makes no other study"
    assert client(study).get_run(version.run_id).data.params["cell"] == "col+r feas"

    model = load_model(version.source)
    photo = base64.b64encode(encode_png(picture("a"))).decode()
    answer = model.predict(pd.DataFrame({"image": [photo]})).to_dict("records")[0]
    assert answer["class"] in CLASSES and sorted(answer["classes"]) == sorted(CLASSES)
    assert np.sum(answer["probabilities"]) == pytest.approx(1, abs=1e-5)
    assert [column.name for column in model.metadata.signature.inputs] == ["image", "path"]
    assert model.input_example is not None

    assert "version 2" in run("track", "--resend")  # its run is another now
    assert client(study).get_model_version_by_alias("aircraft CLIP", "best").version == 2


def test_an_adapter_that_is_missing_costs_a_warning_only(study: Path, caplog: pytest.LogCaptureFixture) -> None:
    ask(study, register_model="aircraft")
    shutil.rmtree(study / paths.ADAPTERS)
    run("report")
    assert "models/adapters/color_feasible/real+synthetic/seed-1 is no folder" in caplog.text
    assert (study / paths.PAGE).is_file() and client(study).search_registered_models() == []
    assert "MLflow has the runs but not the best model" in caplog.text
    assert "mend what the warning above says" in run("track", code=1)


@pytest.mark.parametrize("name", ["", "a/b", "a:b", "it's", NAME])
def test_a_name_that_the_registry_does_not_take_is_refused(study: Path, name: str) -> None:
    ask(study, register_model=name)
    assert "tracking.register_model" in run("report", code=1)
