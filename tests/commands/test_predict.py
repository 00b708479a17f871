from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from varireal import paths
from varireal.base.manifest import read_manifest
from varireal.cli import main
from varireal.errors import UserError

REAL = paths.REAL_ADAPTERS / "seed-0"


@pytest.fixture
def trained(clip_workspace, change_params) -> Path:
    change_params("grid.seeds", [0])
    result = CliRunner().invoke(main, ["train", "--real-only"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return clip_workspace


def predict(*arguments: str):
    return CliRunner().invoke(main, ["predict", "--adapter", str(REAL), *arguments], catch_exceptions=False)


def test_predictions_are_those_of_evaluate(trained, change_params):
    for cell in (
        "attributes",
        "conditions",
        "sources",
    ):  # evaluate needs every adapter of its grid: here, of a small one
        change_params(
            f"grid.{cell}", {"attributes": ["color"], "conditions": ["mixed"], "sources": ["synthetic"]}[cell]
        )
    for arguments in (["mix"], ["train", "--condition", "mixed"]):
        CliRunner().invoke(main, [*arguments, "--attribute", "color"], catch_exceptions=False)
    CliRunner().invoke(main, ["evaluate"], catch_exceptions=False)
    rows = [row for row in pq.read_table(paths.PREDICTIONS).to_pylist() if row["source"] == "real"]
    records = {record.image_id: record for record in read_manifest(paths.PHOTOS_MANIFEST)}
    result = predict("--json", *(records[row["image_id"]].path for row in rows))
    assert result.exit_code == 0, result.output
    answers = json.loads(result.stdout)
    assert len(answers) == 12
    for row, answer in zip(rows, answers):
        assert answer["photo"] == records[row["image_id"]].path
        assert answer["classes"][0]["class_index"] == row["predicted"]
        share = {entry["class_index"]: entry["probability"] for entry in answer["classes"]}
        assert share[row["class_index"]] == pytest.approx(row["true_probability"], abs=1e-5)


def test_a_table_names_the_likeliest_classes_of_a_folders_photos_and_corrupt_ones_end_in_one_line(trained):
    folder = trained / "mine"
    folder.mkdir()
    (folder / "good.png").write_bytes(Path(read_manifest(paths.PHOTOS_MANIFEST)[0].path).read_bytes())
    (folder / "bad.png").write_bytes(b"no picture")
    result = predict("--top", "2", str(folder))
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith(f"Error: the image {folder}/bad.png cannot be read")
    assert "Traceback" not in result.output
    assert result.stdout.count(" % ") == 2 and "good.png" in result.stdout and "bad.png" not in result.stdout


def test_an_empty_folder_and_a_folder_without_an_adapter_are_refused_before_clip_is_loaded(trained):
    (trained / "empty").mkdir()
    with pytest.raises(UserError, match="empty holds no picture"):
        predict("empty")
    with pytest.raises(UserError, match=r"data is no adapter|data lacks adapter_model.safetensors"):
        CliRunner().invoke(main, ["predict", "--adapter", "data", "x.png"], catch_exceptions=False)
