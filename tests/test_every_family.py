"""Every stage, with the editors of every family and with every kind of classifier: whole studies in miniature.

Each study is composed of the groups that a user names, and only ids of the hub become folders of tiny random networks
of the very classes. All share photos, prompts and masks; each editor is seen by another classifier, as neither knows of
the other. What one attribute cannot show is in tests/editing/families, and what a classifier learns in tests/training.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from tests.datasets import published_layouts
from tests.editing.families.conftest import small_squares_of_qwen
from tests.editing.tiny_flow_pipelines import FAMILY, SIDES, save_flow_pipeline
from tests.test_conf import compose
from tests.tiny_study import run_stages
from tests.tracking.conftest import empty_store
from tests.training.timm_towers import save_timm_clip
from tests.training.tiny_probes import save_dinov3, save_siglip

from varireal import paths
from varireal.base.files import read_image, read_json, read_mask
from varireal.base.manifest import FEASIBILITIES, ImageRecord, read_manifest

__all__ = ["empty_store", "small_squares_of_qwen"]

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[1]
DATA = (paths.PREPARED, paths.SEGMENTED, paths.METRICS)  # of the stages that all share
CELLS = [["--attribute", "color", "--feasibility", each] for each in FEASIBILITIES]
CONDITIONS = [["--attribute", "color", "--condition", each] for each in FEASIBILITIES]


class Whole(NamedTuple):
    """A study: the groups that name its networks, the tiny ones in their place, and other settings."""

    groups: tuple[str, ...]
    painter: str  # of tests/editing/tiny_flow_pipelines.py
    classifier: Callable[[Path], dict[str, Any]] | None = None  # None: the tiny CLIP
    method: str = "diffusion"
    loss: str = "softmax"


def timm_clip(kind: str) -> Callable[[Path], dict[str, Any]]:
    return lambda folder: {"model": f"local-dir:{save_timm_clip(folder, kind)}", "pretrained": None}


def probe(save: Callable[[Path], Path], **settings: Any) -> Callable[[Path], dict[str, Any]]:
    return lambda folder: {
        "kind": "probe",
        "model": str(save(folder)),
        "pretrained": None,
        "revision": None,
        **settings,
    }


STUDIES = {
    "FLUX.1, SigLIP 2": Whole(("models=flux", "classifier=siglip2"), "flux", timm_clip("tiny_siglip")),
    "FLUX.1 Fill, MobileCLIP2": Whole(("models=flux", "classifier=mobileclip2"), "flux_fill", timm_clip("tiny_mci")),
    "FLUX.2, Perception Encoder": Whole(("models=flux2",), "flux2", timm_clip("tiny_pe")),
    "Qwen-Image-Edit, DINOv3": Whole(("models=qwen_image", "classifier=dinov3"), "qwen_image", probe(save_dinov3)),
    "Z-Image, SigLIP 2's tower": Whole(
        ("models=z_image", "classifier=dinov3"), "z_image", probe(save_siglip, frozen=True)
    ),
    "FLUX.2 told, CLIP": Whole(("models=flux2",), "flux2", method="instruct"),
    "Qwen-Image-Edit-Plus told, SigLIP 2 by its own loss": Whole(
        ("models=qwen_image", "classifier=siglip2"),
        "qwen_image_plus",
        timm_clip("tiny_siglip"),
        "instruct",
        "sigmoid",
    ),
}


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photos, prompts and masks of three classes of pets."""
    root = tmp_path_factory.mktemp("begun")
    published_layouts.oxford_pets(root / "data/raw/oxford_pets", train=3, test=2)
    (root / "data/banks").symlink_to(REPOSITORY / "data/banks")
    compose(
        root / "params.yaml",
        ["dataset=oxford_pets", "dataset.complete=false", "dataset.train_per_class=1", "dataset.val_per_class=1"],
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setenv("DVC_ROOT", str(root))
        run_stages([["prepare"], ["prompt"], ["segment"]])
    return root


@pytest.fixture(params=STUDIES.values(), ids=STUDIES)
def study(
    request: pytest.FixtureRequest,
    begun: Path,
    tiny_clip: Path,
    empty_store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Whole:
    """The current folder with a study's settings and networks, and with what all studies share."""
    whole: Whole = request.param
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    for name in ("DVC_EXP_NAME", "MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    shutil.copytree(begun / "data", "data", symlinks=True, ignore=shutil.ignore_patterns("raw"))
    shutil.copytree(begun / paths.METRICS, paths.METRICS)
    shutil.copy(empty_store, "mlflow.db")
    save_flow_pipeline(whole.painter, tmp_path / "painter")
    params = compose(paths.PARAMS, ["dataset=oxford_pets", "dataset.complete=false", *whole.groups])
    assert params["edit"]["inpaint"]["family"] == FAMILY[whole.painter]
    plain = {"kind": "clip", "model": f"local-dir:{tiny_clip}", "pretrained": None}
    params["clip"] |= whole.classifier(tmp_path / "classifier") if whole.classifier else plain
    if params["clip"].get("kind") == "probe":
        params["measure"] |= {"model": plain["model"], "pretrained": None}
    side = max(SIDES[whole.painter], 64 if whole.method == "instruct" else 0)  # FLUX.2 reads no smaller photos
    params["edit"] |= {"method": whole.method, "edits_per_photo": 1}
    params["edit"]["inpaint"] |= {"checkpoint": "painter", "revision": None, "image_size": side}
    params["edit"]["inpaint"]["num_inference_steps"] = 4  # of which a strength of 0.3 does one or two
    params["filter"] = {"name": "none"}
    params["compute"] |= {"device": "cpu", "dtype": "float32", "workers": 1, "num_threads": 1}
    params["compute"]["require_accelerator"] = False
    params["train"] |= {"max_steps": 2, "eval_every": 1, "batch_size": 4, "loss": whole.loss}
    params["grid"] |= {"attributes": ["color"], "conditions": list(FEASIBILITIES), "sources": ["synthetic"]}
    params["grid"] |= {"seeds": [0], "controls": [], "control_attributes": ["color"]}
    paths.PARAMS.write_text(yaml.safe_dump(params, allow_unicode=True), encoding="utf-8")
    return whole


def test_a_whole_study_runs_and_leaves_what_it_promises(study: Whole) -> None:
    run_stages([["edit", *cell] for cell in CELLS])
    run_stages([["mix", *CONDITIONS[0][:2]], ["measure"]])
    run_stages([["train", "--real-only"], *(["train", *cell] for cell in CONDITIONS), ["evaluate"], ["report"]])
    params = yaml.safe_load(paths.PARAMS.read_text(encoding="utf-8"))
    for feasibility in FEASIBILITIES:
        records = read_manifest(paths.edit_folder("color", feasibility) / "manifest.parquet")
        assert len(records) == 3 and {record.status for record in records} == {"accepted"}
        for record in records:
            check_edit(record, study)
    check_results(reads_text=params["clip"].get("kind") != "probe")
    about = read_json(paths.REAL_ADAPTERS / "seed-0" / "varireal.json")
    assert about["clip"]["model"] == params["clip"]["model"]
    assert about["train"].get("loss", "softmax") == study.loss


def check_edit(record: ImageRecord, study: Whole) -> None:
    """It was made by the family, and changed the object alone."""
    made_with = json.loads(str(record.settings))
    assert made_with["method"] == study.method
    assert made_with["inpaint"]["family"] == FAMILY[study.painter]
    assert made_with["inpaint"]["checkpoint"] == "painter"
    assert made_with["recipe"]["num_inference_steps"] == 4
    [photo] = [each for each in read_manifest(paths.MASKS_MANIFEST) if each.image_id == record.photo_id]
    changed = (read_image(Path(record.path)) != read_image(Path(photo.path))).any(axis=-1)
    mask = read_mask(Path(str(record.mask_path)))
    assert not changed[~mask].any() and changed[mask].mean() > 0.9
    [attempt] = json.loads(str(record.attempts))
    assert ("measured" in attempt) is (study.method == "instruct")
    if study.method == "instruct":  # which draws the whole photo anew, before the rest of it is put back
        assert attempt["measured"]["changed_outside"] > 1


def check_results(*, reads_text: bool) -> None:
    """Every cell has its figures, on disk, on the page and in MLflow; zero-shot only where a classifier reads text."""
    from mlflow import MlflowClient

    measured = read_json(paths.MEASURED)["cells"]["color"]
    table = read_json(paths.METRICS / "table.json")
    assert set(measured) == set(table["cells"]["color"]) == set(FEASIBILITIES)
    assert all(measured[each]["changed_outside"] == 0 for each in FEASIBILITIES)
    assert all(0 <= table["cells"]["color"][each]["synthetic"]["top1_mean"] <= 100 for each in FEASIBILITIES)
    assert 0 <= table["real"]["top1_mean"] <= 100
    page = paths.PAGE.read_text(encoding="utf-8")
    client = MlflowClient(f"sqlite:///{Path.cwd()}/mlflow.db")
    experiment = client.get_experiment_by_name("oxford_pets")
    assert experiment is not None
    names = [run.info.run_name for run in client.search_runs([experiment.experiment_id])]
    assert len(names) == 4 + reads_text  # the study itself, real photos alone, two cells
    assert ("zero_shot" in table) is ("zero-shot" in names) is ("┆</b> zero-shot" in page) is reads_text
    assert "┆</b> real only" in page
