"""Real photos with true masks, where they are at hand: VARIREAL_PETS names a folder with images/ and masks/."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from varireal import paths
from varireal.base.files import read_json
from varireal.cli import main

REPOSITORY = Path(__file__).parents[2]
PETS = os.environ.get("VARIREAL_PETS")


@pytest.mark.skipif(not PETS, reason="VARIREAL_PETS names no folder of photos")
def test_the_demo_segmenter_reaches_on_pets_what_the_documentation_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    for folder in ("images", "masks"):
        shutil.copytree(Path(str(PETS)) / folder, folder, copy_function=shutil.copyfile)
    params = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    params["dataset"] = {"name": "image_folder", "domain_word": "aircraft", "root": "images", "masks_root": "masks",
                         "max_side": 512, "val_share": 0, "test_share": 0}  # fmt: skip
    params["segment"]["checkpoint"] = str(REPOSITORY / "models/demo/segmenter")
    paths.PARAMS.write_text(yaml.safe_dump(params))
    for stage in ("prepare", "segment"):
        result = CliRunner().invoke(main, [stage], catch_exceptions=False)
        assert result.exit_code == 0, result.output
    assert read_json(paths.METRICS / "segment.json")["mean_iou"] == pytest.approx(0.366, abs=0.01)
