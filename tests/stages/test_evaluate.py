from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner
from tests.tiny_study import change

from varireal import paths
from varireal.base.files import read_json
from varireal.base.manifest import read_manifest, write_manifest
from varireal.cli import main
from varireal.compute.missing import finish
from varireal.errors import UserError


def run(*arguments: str) -> None:
    result = CliRunner().invoke(main, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output


@pytest.fixture(scope="module")
def trained_to_copy(workspace_to_copy, tiny_clip, tmp_path_factory) -> Path:
    """One condition and one source, two seeds, and the baselines; trained once for all tests."""
    folder = tmp_path_factory.mktemp("trained") / "workspace"
    shutil.copytree(workspace_to_copy, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("DVC_ROOT", raising=False)
        change(clip__model=f"local-dir:{tiny_clip}", grid__conditions=["feasible"], grid__sources=["synthetic"])
        cell = ("--attribute", "color", "--condition", "feasible")
        run("mix", *cell[:2])
        run("train", *cell)
        run("train", "--real-only")
    return folder


@pytest.fixture
def trained(trained_to_copy, tmp_path, monkeypatch) -> Path:
    """What was trained in a folder of the test's own, which is the current one."""
    shutil.copytree(trained_to_copy, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    return tmp_path


def test_the_grid_and_its_baselines_are_predicted_and_kept_per_adapter(trained):
    run("evaluate")
    found = read_json(paths.METRICS / "evaluate.json")
    assert found["images"] == 12 and len(found["cells"]) == len(found["real"]) == 2
    rows = pq.read_table(paths.PREDICTIONS).to_pylist()
    assert len(rows) == 5 * 12
    for cell in found["cells"]:
        own = [row for row in rows if row["source"] == "synthetic" and row["seed"] == cell["seed"]]
        correct = sum(row["predicted"] == row["class_index"] for row in own)
        assert cell["top1"] == pytest.approx(100 * correct / 12)
    assert {row["image_id"].split("/")[1].split("-")[0] for row in rows} == {"test"}
    zero_shot = [row for row in rows if row["source"] == "zero-shot"]
    top1 = 100 * sum(row["predicted"] == row["class_index"] for row in zero_shot) / 12
    assert found["zero_shot"]["top1"] == pytest.approx(top1)
    assert len((paths.METRICS / "plots" / "confusion.csv").read_text().splitlines()) == 1 + 2 * 12

    before = paths.PREDICTIONS.read_bytes()
    kept = {path: path.stat().st_ino for path in Path(".work/evaluate").glob("*/*")}
    assert len(kept) == 5
    shutil.rmtree(sorted(kept)[0])
    run("evaluate")
    assert paths.PREDICTIONS.read_bytes() == before
    assert all(path.stat().st_ino == kept[path] for path in sorted(kept)[1:])


@pytest.mark.parametrize("again", [False, True], ids=["kept", "made anew"])
def test_predictions_on_test_are_in_float32_whatever_was_trained_in(trained, change_params, again):
    run("evaluate")
    before = paths.PREDICTIONS.read_bytes()
    change_params("compute.dtype", "bfloat16")
    kept = sorted(Path(".work/evaluate").glob("*/*"))
    if again:
        shutil.rmtree(".work/evaluate")
    run("evaluate")
    assert paths.PREDICTIONS.read_bytes() == before
    assert sorted(Path(".work/evaluate").glob("*/*")) == kept  # the same keys


def test_two_workers_predict_what_one_predicts(trained, change_params, monkeypatch):
    run("evaluate")
    before = paths.PREDICTIONS.read_bytes()
    shutil.rmtree(".work/evaluate")
    monkeypatch.setattr("varireal.compute.processes.available_cores", lambda: 2)
    change_params("compute.num_threads", 1)
    run("evaluate")
    assert paths.PREDICTIONS.read_bytes() == before


def test_zero_shot_is_clip_as_it_came_though_its_worker_has_tested_adapters(trained, monkeypatch):
    run("evaluate")
    before = paths.PREDICTIONS.read_bytes()
    shutil.rmtree(".work/evaluate")
    backwards = lambda missing, *rest: finish(missing[::-1], *rest)  # noqa: E731
    monkeypatch.setattr("varireal.evaluation.run.finish", backwards)
    run("evaluate")
    assert paths.PREDICTIONS.read_bytes() == before


def test_adapters_of_a_former_grid_are_not_evaluated(trained):
    old = paths.adapter_folder("texture", "mixed") / "synthetic" / "seed-0"
    shutil.copytree(paths.adapter_folder("color", "feasible") / "synthetic" / "seed-0", old)
    run("evaluate")
    assert {cell["attribute"] for cell in read_json(paths.METRICS / "evaluate.json")["cells"]} == {"color"}


def test_a_missing_adapter_or_an_empty_test_split_is_refused(trained):
    shutil.rmtree(paths.REAL_ADAPTERS / "seed-1")
    with pytest.raises(UserError, match=r"1 of 5 adapters are missing, the first is models/adapters/real/seed-1"):
        run("evaluate")
    shutil.copytree(paths.REAL_ADAPTERS / "seed-0", paths.REAL_ADAPTERS / "seed-1")
    write_manifest(paths.PHOTOS_MANIFEST, [p for p in read_manifest(paths.PHOTOS_MANIFEST) if p.split != "test"])
    with pytest.raises(UserError, match="no photo in the split test"):
        run("evaluate")


@pytest.mark.parametrize("missed", [False, True])
def test_a_known_zero_shot_accuracy_is_checked(trained, change_params, caplog, missed):
    run("evaluate")
    assert read_json(paths.METRICS / "evaluate.json")["zero_shot"].keys() == {"top1", "top5", "per_class"}
    model = yaml.safe_load(paths.PARAMS.read_text())["clip"]["model"]
    # the study's own sentence, so that the accuracy is the table's
    top1 = read_json(paths.METRICS / "evaluate.json")["zero_shot"]["top1"]
    anchor = {"models": [model], "pretrained": None, "images": 12, "templates": ["a photo of a {} aircraft"]}
    change_params("evaluate.anchors", [{**anchor, "top1": top1 + 30 if missed and top1 < 50 else top1 - 30 * missed}])
    run("evaluate")
    found = read_json(paths.METRICS / "evaluate.json")["zero_shot"]["anchor"]
    assert found["found"] == pytest.approx(top1) and found["passed"] is not missed
    assert ("zero-shot CLIP reaches" in caplog.text) is missed
