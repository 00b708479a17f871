"""Whole studies with a probe, which reads no text, and with an image tower of timm."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from tests.tiny_study import TO_MIX, TO_REPORT, change, make_study, run_stages
from tests.training.timm_towers import save_timm_clip
from tests.training.tiny_probes import save_dinov3

from varireal import paths
from varireal.base.files import read_image
from varireal.base.manifest import read_manifest
from varireal.config import check_params, load_params
from varireal.errors import UserError
from varireal.networks.clip import load_clip
from varireal.prompts.templates import class_prompt
from varireal.reporting.experiments import read_experiment
from varireal.reporting.results import read_results
from varireal.reporting.side_by_side import compare
from varireal.serving.classify import name_classes
from varireal.serving.export.formats import export_model
from varireal.tracking.entries import study_entries
from varireal.verifying.judgement import _scale

REPOSITORY = Path(__file__).parents[1]
ADAPTER = paths.REAL_ADAPTERS / "seed-0"


@pytest.fixture(scope="module")
def studies(tiny_clip, tmp_path_factory):
    """The folders of both studies, whose edits were made once."""
    root = tmp_path_factory.mktemp("classifiers")
    probe, clip = save_dinov3(root / "dinov3"), save_timm_clip(root / "siglip", "tiny_siglip")
    chosen = {
        "probe": {"kind": "probe", "model": str(probe), "pretrained": None},
        "timm": {"model": f"local-dir:{clip}", "pretrained": None},
    }
    to_measure, train_and_report = TO_REPORT[: len(TO_MIX) + 1], TO_REPORT[len(TO_MIX) + 1 :]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # nobody answers
        for name in ("DVC_ROOT", "DVC_EXP_NAME", "MLFLOW_RUN_ID"):
            patch.delenv(name, raising=False)
        (root / "edits").mkdir()
        patch.chdir(root / "edits")
        make_study(tiny_clip)
        change(grid__conditions=["feasible", "infeasible"], grid__sources=["synthetic"])
        change(measure__model=f"local-dir:{tiny_clip}")
        run_stages([stage for stage in to_measure if "mixed" not in stage])
        for name, settings in chosen.items():
            shutil.copytree(root / "edits", root / name)
            patch.chdir(root / name)
            change(clip=settings)
            run_stages([stage for stage in train_and_report if "mixed" not in stage])
    return {name: root / name for name in chosen}


@pytest.fixture
def probe_study(studies, monkeypatch):
    monkeypatch.chdir(studies["probe"])
    return studies["probe"]


def test_without_text_there_is_no_zero_shot_anywhere(probe_study):
    tested = json.loads((paths.METRICS / "evaluate.json").read_text())
    assert tested["zero_shot"] is None and len(tested["real"]) == 1 and len(tested["cells"]) == 2
    table = json.loads((paths.METRICS / "table.json").read_text())
    assert "zero_shot" not in table and table["real"]["minus_zero_shot"] is None
    assert set(table["cells"]["color"]) == {"feasible", "infeasible"}
    assert (paths.METRICS / "plots" / "confusion_zero_shot.csv").read_text() == "actual,predicted\n"
    assert list(yaml.safe_load((paths.METRICS / "study.yaml").read_text())) == ["real", "color"]
    assert "zero_shot" not in (paths.METRICS / "verdicts.json").read_text()
    assert set(pq.read_table(paths.PREDICTIONS)["source"].to_pylist()) == {"real", "synthetic"}
    page = paths.PAGE.read_text()
    assert "┆</b> real only" in page and "┆</b> zero-shot" not in page


def test_runs_of_mlflow_and_a_check_of_results_do_without_zero_shot(probe_study):
    params = load_params(paths.PARAMS)
    names = [entry.name for entry in study_entries(params, read_results(params.grid))]
    assert len(names) == 3 and not any("zero" in name for name in names)

    class Committed:
        name = "HEAD"

        def figures(self, path: str) -> dict:
            return json.loads(Path(path).read_text())

    assert _scale(Committed()).classes == 3


def test_a_probe_predicts_what_evaluate_says_and_is_no_clip_to_export(probe_study, tmp_path):
    photos = [photo for photo in read_manifest(paths.PHOTOS_MANIFEST) if photo.split == "test"]
    named = name_classes(ADAPTER, "cpu", [Path(photo.path) for photo in photos], 3)
    rows = {
        row["image_id"]: row for row in pq.read_table(paths.PREDICTIONS).to_pylist() if row["source"] == "real"
    }  # fmt: skip
    for photo, answer in zip(photos, named):
        assert answer.classes[0].index == rows[photo.image_id]["predicted"]
        own = next(each.probability for each in answer.classes if each.index == photo.class_index)
        assert own == pytest.approx(rows[photo.image_id]["true_probability"], abs=1e-4)
    with pytest.raises(UserError, match="is an adapter of a probe, and open_clip is a format of CLIPs"):
        export_model(ADAPTER, "open_clip", tmp_path / "exported", force=False)
    assert not (tmp_path / "exported").exists()


def test_a_sigmoid_trained_model_has_its_own_zero_shot_scores_and_is_tuned_like_others(studies, monkeypatch):
    monkeypatch.chdir(studies["timm"])
    params = load_params(paths.PARAMS)
    assert params.train.loss == "softmax"
    clip = load_clip(params.clip.model, None)
    info = json.loads(paths.DATASET_INFO.read_text())
    sentences = [class_prompt(name, info["domain_word"], params.clip.sentence) for name in info["classes"]]
    rows = [row for row in pq.read_table(paths.PREDICTIONS).to_pylist() if row["source"] == "zero-shot"]
    photos = {photo.image_id: photo for photo in read_manifest(paths.PHOTOS_MANIFEST)}
    images = np.stack([clip.resize(read_image(Path(photos[row["image_id"]].path))) for row in rows])
    with torch.no_grad():
        scores, _ = clip.model.get_logits(clip.normalise(torch.from_numpy(images)), clip.tokenize(sentences))
    own = scores.double().sigmoid()[torch.arange(len(rows)), [row["class_index"] for row in rows]]
    assert [row["true_probability"] for row in rows] == pytest.approx(own.tolist(), rel=1e-4)
    assert own.max() < 0.1  # its bias says no to nearly everything; among three classes it would be a third
    trained = [row for row in pq.read_table(paths.PREDICTIONS).to_pylist() if row["source"] == "real"]
    assert max(row["true_probability"] for row in trained) > 0.2
    about = json.loads((ADAPTER / "varireal.json").read_text())
    assert "loss" not in about["train"] and "kind" not in about["clip"]


def test_a_probe_and_a_clip_are_compared_without_zero_shot(studies):
    found = compare(*(read_experiment(str(studies[name])) for name in ("probe", "timm")), margin=0.3)
    assert len(found.models) == 3 and found.only == ((), ("zero-shot",))


def test_settings_that_a_probe_cannot_have_are_refused(studies):
    params = yaml.safe_load((studies["probe"] / "params.yaml").read_text())
    params["measure"]["model"] = None
    with pytest.raises(UserError, match=r"measure\.model is null, but the classifier \(clip\.kind probe\) reads no"):
        check_params(params, "params.yaml")
