"""The study as its code ran it, in miniature: each published data set in its layout, every stage, all of its networks.

The checkpoints are random (tests/tiny_checkpoints.py), so nothing is said about quality: what is checked is that every
part of `study=original` runs, and leaves behind what it promises.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tests.datasets import published_layouts as layouts
from tests.test_conf import compose
from tests.tiny_checkpoints import save_all
from tests.tiny_study import run_stages
from tests.tracking.conftest import empty_store

from varireal import paths
from varireal.base.files import read_image
from varireal.base.manifest import ATTRIBUTES, FEASIBILITIES

__all__ = ["empty_store"]

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[1]
COUNTS = {
    "oxford_pets": {"train": 3, "test": 2},
    "fgvc_aircraft": {"per_split": 2},
    "stanford_cars": {"train": 3, "test": 2},
    "waterbirds": {"per_split": 6},
}
EDIT_CELLS = [(attribute, feasibility) for attribute in ATTRIBUTES for feasibility in FEASIBILITIES]
CONDITIONS = ("feasible", "mixed")  # the third one is made as the first
MIX_CELLS = [(attribute, condition) for attribute in ATTRIBUTES for condition in CONDITIONS]


@pytest.fixture(scope="session")
def tiny_zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("zoo") / "tiny"
    save_all(folder)
    return folder


@pytest.fixture(scope="module", params=sorted(COUNTS))
def study(
    request: pytest.FixtureRequest, tiny_zoo: Path, empty_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Any]]:
    """A working folder in which all stages have run, as the current folder; yields params.yaml."""
    dataset = request.param
    root = tmp_path_factory.mktemp(dataset)
    getattr(layouts, dataset)(root / "data" / "raw" / dataset, **COUNTS[dataset])
    (root / "data" / "banks").symlink_to(REPOSITORY / "data" / "banks")
    (root / "models").mkdir()
    shutil.copy(empty_store, root / "mlflow.db")
    (root / "models" / "tiny").symlink_to(tiny_zoo)
    chosen = [f"dataset={dataset}", "study=original", "models=tiny", "dataset.complete=false"]
    # half precision takes a CPU several times as long (tests/editing/test_model_groups.py edits in it)
    here = ["compute.device=cpu", "compute.dtype=float32", "compute.num_threads=1", "compute.workers=1"]
    less = [
        "grid.seeds=[0]",
        "grid.conditions=[feasible,mixed]",
        "grid.controls=[]",
        "dataset.train_per_class=2",
        "filter.max_attempts=1",
        "edit.prior.num_inference_steps=2",
        "edit.prior.material_steps=2",
        "edit.inpaint.num_inference_steps=4",
        "edit.refine.num_inference_steps=4",
    ]
    params = compose(root / "params.yaml", [*chosen, *here, *less])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setenv("DVC_ROOT", str(root))
        for name in ("DVC_EXP_NAME", "MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID"):
            patch.delenv(name, raising=False)
        run_stages([["prepare"], ["prompt"], ["segment"]])
        run_stages([["edit", "--attribute", a, "--feasibility", f] for a, f in EDIT_CELLS] + [["measure"]])
        run_stages([["mix", "--attribute", a] for a in ATTRIBUTES])
        run_stages([["train", "--real-only"], *(["train", "--attribute", a, "--condition", c] for a, c in MIX_CELLS)])
        run_stages([["evaluate"], ["report"]])
        yield params


def test_every_stage_runs_and_leaves_what_it_promises(study: dict[str, Any]) -> None:
    photos = pd.read_parquet(paths.MASKS_MANIFEST)
    assert len(photos) and set(photos.status) <= {"ok", "failed"} and photos[photos.status == "failed"].note.all()
    sources = json.loads((paths.METRICS / "segment.json").read_text())["sources"]
    assert sources["grounded_sam2"]["photos"] == len(photos)
    adapter = json.loads(next(paths.REAL_ADAPTERS.glob("seed-0/varireal.json")).read_text())
    assert all(" photo of a " in sentence for sentence in adapter["sentences"])
    assert adapter["train"]["augmentation"]["short_side"] == 320 and adapter["train"]["max_steps"] == 2
    usable = photos[photos.status == "ok"].set_index("image_id")
    for attribute, feasibility in EDIT_CELLS:
        edits = pd.read_parquet(paths.edit_folder(attribute, feasibility) / "manifest.parquet")
        _check_photos(edits, usable.index, attribute, feasibility)
        for row in edits.itertuples():
            _check_edit(study, row, usable.loc[row.photo_id].path, attribute)
    measured = json.loads(paths.MEASURED.read_text())["cells"]
    assert all(measured[a][f]["changed_outside"] == 0 for a, f in EDIT_CELLS)
    table = json.loads((paths.METRICS / "table.json").read_text())["cells"]
    for attribute, condition in MIX_CELLS:
        cell = table[attribute][condition]
        assert set(cell) == {"synthetic", "real+synthetic"}
        assert all(0 <= row["top1_mean"] <= 100 for row in cell.values())
    assert "<html" in paths.PAGE.read_text()


def _check_photos(edits: pd.DataFrame, usable: pd.Index, attribute: str, feasibility: str) -> None:
    """One edit of each photo with a mask, but for those whose objects fill it when the recipe grows them."""
    figures = json.loads((paths.METRICS / "edit" / f"{attribute}_{feasibility}.json").read_text())
    left_out = figures["failed_photos"]
    assert len(edits) and sorted([*edits.photo_id, *left_out]) == sorted({*usable, *left_out})
    if attribute == "background":
        grown = [name for name, note in left_out.items() if "leaves no background" in note]
        assert {*usable} - {*edits.photo_id} == {*grown}
    else:
        assert sorted(edits.photo_id) == sorted(usable)


def _check_edit(study: dict[str, Any], row: Any, photo: str, attribute: str) -> None:
    """What a manifest says of one edit, and the edit's pixels."""
    settings, attempts = json.loads(row.settings), json.loads(row.attempts)
    refined = attribute != "background" and study["edit"]["refine"]["checkpoint"] is not None
    assert settings["inpaint"].get("family") == study["edit"]["inpaint"].get("family")
    assert settings["recipe"].get("refine", False) is refined and ("refine" in settings) is refined
    assert settings["inpaint"]["dtype"] == study["compute"]["dtype"] == "float32"
    assert settings["filter"]["name"] == "vqa"
    for attempt in attempts:
        assert set(attempt["scores"]) == {"attribute", "class", "possibility"}
        assert all(0 < score < 1 for score in attempt["scores"].values())
        least = {question: study["filter"][f"{question}_threshold"] for question in attempt["scores"]}
        hoped_for = [score >= least[question] for question, score in attempt["scores"].items() if least[question]]
        assert study["filter"]["rule"] == "mean" and len(hoped_for) == 2  # the study's rule: half of two answers
        assert attempt["accepted"] is any(hoped_for)
    assert [attempt["accepted"] for attempt in attempts[:-1]] == [False] * (len(attempts) - 1)
    assert (row.status == "accepted") is attempts[-1]["accepted"]
    assert row.prompt.startswith("a high quality photo ")  # the study's sentences
    edited, original = read_image(Path(row.path)), read_image(Path(photo))
    assert edited.shape == original.shape and (edited != original).any()
