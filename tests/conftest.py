"""Tiny checkpoints of the real architectures, with random weights; the working folder of a finished study."""

from __future__ import annotations

import gc
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
import yaml
from tests.editing.tiny_pipelines import save_pipeline
from tests.tiny_checkpoints import save_clip

from varireal import paths
from varireal.base.files import atomic_write_bytes, encode_png, sha256_bytes, write_json
from varireal.base.manifest import ImageRecord, write_manifest

# the background of a shell ignores Ctrl-C, which programs that tests start would inherit
signal.signal(signal.SIGINT, signal.default_int_handler)
# a busy machine makes a property test slow, not wrong
hypothesis.settings.register_profile("varireal", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("varireal")


SLOW = {line for line in (Path(__file__).parent / "slow.txt").read_text().splitlines() if not line.startswith("#")}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that were measured to be slow."""
    for item in items:
        if item.nodeid.split("[")[0] in SLOW:
            item.add_marker(pytest.mark.slow)


_looked_through = 0  # how many modules there were when the collector last saw all


def pytest_runtest_setup() -> None:
    """Keep the garbage collector from going through all libraries each time that a test calls it: seconds a call."""
    global _looked_through
    if len(sys.modules) > _looked_through + 200:
        gc.collect()
        gc.freeze()
        _looked_through = len(sys.modules)


@pytest.fixture(scope="session")
def plugins_of_the_repository() -> None:
    """Load the plugin of the settings from the repository: a process keeps the copy that it loads first."""
    from dvc.utils.hydra import load_hydra_plugins

    load_hydra_plugins(str(Path(__file__).parents[1] / ".dvc/plugins"))


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in open_clip's format: a CLIP of two blocks a tower for pictures of 32 pixels."""
    return save_clip(tmp_path_factory.mktemp("tiny_clip"))


@pytest.fixture(scope="session")
def tiny_sdxl_inpaint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an SDXL-inpainting pipeline for pictures of 32 pixels."""
    return save_pipeline(tmp_path_factory.mktemp("tiny_sdxl_inpaint"), xl=True, inpaint=True)


@pytest.fixture(scope="session")
def tiny_sd_inpaint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an inpainting pipeline of the Stable Diffusion 1.5 family for pictures of 32 pixels."""
    return save_pipeline(tmp_path_factory.mktemp("tiny_sd_inpaint"), xl=False, inpaint=True)


@pytest.fixture(scope="session")
def tiny_sdxl_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a text-to-image SDXL pipeline for pictures of 32 pixels."""
    return save_pipeline(tmp_path_factory.mktemp("tiny_sdxl_base"), xl=True)


STUDY_CLASSES = ("glider", "<b>jet</b>")  # a name that must be escaped on a page
REPOSITORY = Path(__file__).parents[1]


def study_top1(condition: str | None, source: str, seed: int) -> float:
    """The made-up test accuracy of a cell: mixed equals feasible, infeasible is 3 below, seed 1 is 2 above seed 0.

    Ten percent of wrong labels cost 2, twenty 8, and the null controls equal feasible.
    """
    base = {"real": 60.0, "synthetic": 50.0, "real+synthetic": 70.0}[source]
    apart = {"infeasible": -3.0, "harm-10": -2.0, "harm-20": -8.0}
    return base + apart.get(condition or "", 0.0) + 2.0 * seed


def _study_params(root: Path, controls: list[str]) -> dict[str, Any]:
    params = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    params["grid"] |= {"attributes": ["color", "texture"], "seeds": [0, 1]}
    params["grid"] |= {"controls": controls, "control_attributes": ["color"]}
    params["report"] |= {"examples": 2, "margin": 0.3}
    (root / paths.PARAMS).write_text(yaml.safe_dump(params, sort_keys=False))
    return params


def _study_picture(root: Path, path: Path, pixels: np.ndarray) -> dict[str, Any]:
    data = encode_png(pixels)
    atomic_write_bytes(root / path, data)
    return {"path": path.as_posix(), "sha256": sha256_bytes(data), "width": 24, "height": 24}


def _study_photo(root: Path, class_index: int, number: int) -> ImageRecord:
    photo_id, pixels = f"class-{class_index}/{number}", np.full((24, 24, 3), 40 * class_index + number, np.uint8)
    pixels[0, 0] = 250
    pixels[0, 1] = 5
    fields = _study_picture(root, paths.PREPARED / "photos" / f"{photo_id}.png", pixels)
    name = STUDY_CLASSES[class_index]
    return ImageRecord(photo_id, origin="photo", split="train", class_name=name, class_index=class_index,
                       photo_id=photo_id, **fields)  # fmt: skip


def _study_edits(root: Path, photos: list[ImageRecord], attribute: str, feasibility: str) -> list[ImageRecord]:
    folder, rows = paths.edit_folder(attribute, feasibility), []
    mask = np.zeros((24, 24), np.uint8)
    mask[8:16, 8:16] = 255
    for k, photo in enumerate(photos):
        pixels = np.random.default_rng(k).integers(0, 256, (24, 24, 3), dtype=np.uint8)
        fields = _study_picture(root, folder / "images" / f"{photo.photo_id}-0.png", pixels)
        prior = _study_picture(root, folder / "priors" / f"{photo.photo_id}-0.png", pixels // 2)
        cut = _study_picture(root, paths.SEGMENTED / "masks" / f"{photo.photo_id}.png", mask)
        rows.append(ImageRecord(
            f"{photo.photo_id}#0", origin="edit", split="train", class_name=photo.class_name,
            class_index=photo.class_index, photo_id=photo.photo_id, status="exhausted" if k == 0 else "accepted",
            attribute=attribute, feasibility=feasibility, value="lava & ash", prompt='a "lava" <script>', index=0,
            photo_path=photo.path, mask_path=cut["path"], prior_path=prior["path"], **fields))  # fmt: skip
    return rows


def _study_metrics(root: Path, grid: dict[str, Any]) -> None:
    def tested(condition: str | None, source: str, seed: int) -> dict[str, Any]:
        top1 = study_top1(condition, source, seed)
        return {"seed": seed, "top1": top1, "top5": 99.0, "per_class": {STUDY_CLASSES[0]: top1, STUDY_CLASSES[1]: None}}

    def trained(source: str, seed: int) -> dict[str, Any]:
        looks = [{"step": s, "train_loss": 1.0, "val_loss": 2.0, "val_top1": 40.0 + s + seed} for s in (0, 5, 10)]
        return {
            "source": source,
            "seed": seed,
            "best_step": 10,
            "val_top1": 50.0 + seed,
            "val_loss": 2.0,
            "curve": looks,
        }

    metrics, seeds = root / paths.METRICS, grid["seeds"]
    cells = []
    for attribute in grid["attributes"]:
        for feasibility in grid["feasibilities"]:
            figures = {"edits": 6, "accepted": 5, "exhausted": 1, "failed": 0, "pass_rate": 0.83, "mean_attempts": 1.5}
            causes = {"failed_photos": {}, "failed_edits": {}, "first_pass_rate_by_question": {"attribute": 0.75}}
            write_json(metrics / "edit" / f"{attribute}_{feasibility}.json", figures | causes)
        mixes = grid["conditions"] + (grid["controls"] if attribute in grid["control_attributes"] else [])
        figures = {name: {"images": 4, "infeasible_share": 0.5} for name in mixes}
        write_json(paths.mixes_figures(attribute, metrics), figures)
        for condition in mixes:
            runs = [trained(source, seed) for source in grid["sources"] for seed in seeds]
            write_json(metrics / "train" / f"{attribute}_{condition}.json", {"val": {}, "runs": runs})
            where = {"attribute": attribute, "condition": condition}
            cells += [{**where, "source": s, **tested(condition, s, seed)} for s in grid["sources"] for seed in seeds]
    write_json(metrics / "train" / "real.json", {"val": {}, "runs": [trained("real", seed) for seed in seeds]})
    _study_measured(metrics / "measure.json", grid)
    write_json(metrics / "segment.json", {"photos": 6, "failures": 0, "mean_iou": 0.95})
    zero_shot = {"top1": 30.0, "top5": 80.0, "per_class": dict.fromkeys(STUDY_CLASSES, 30.0)}
    real = [tested(None, "real", seed) for seed in seeds]
    write_json(metrics / "evaluate.json", {"images": 400, "zero_shot": zero_shot, "real": real, "cells": cells})
    baselines = [{"source": "zero-shot", "seed": None, **zero_shot}, *({"source": "real", **row} for row in real)]
    _study_predictions(root, [{"attribute": None, "condition": None, **row} for row in baselines] + cells)


def _study_measured(path: Path, grid: dict[str, Any]) -> None:
    cell = {
        "edits": 5, "measured": 5, "changed_outside": 0, "pixels_changed_outside": 0, "region_share": 0.25,
        "ssim_inside": 0.5, "ssim_outside": 1.0, "psnr_inside": 12.0, "clip_score": 30.0, "clip_score_of_photo": 20.0,
        "diversity": 0.75,
    }  # fmt: skip
    distance = {"feasible": 0.5, "infeasible": 2.0}
    cells = {a: {f: {**cell, "cmmd": distance[f]} for f in grid["feasibilities"]} for a in grid["attributes"]}
    real = {"photos": 6, "val_photos": 4, "cmmd_of_val": 0.1, "diversity": 0.8}
    write_json(path, {"real": real, "cells": cells})


def _study_predictions(root: Path, rows: list[dict[str, Any]]) -> None:
    """400 test photos; a model with x % top-1 gets the first x % right, so that models agree where they can."""
    import pandas as pd

    tables = []
    for row in rows:
        right = np.arange(400) < 4 * row["top1"]
        names = {key: row[key] for key in ("attribute", "condition", "source", "seed")}
        photos = [f"class-0/test-{number:03}" for number in range(400)]
        tables.append(pd.DataFrame({**names, "image_id": photos, "class_index": 0, "predicted": np.where(right, 0, 1)}))
    path = root / paths.PREDICTIONS
    path.parent.mkdir(parents=True)
    pd.concat(tables).astype({"seed": "Int64"}).to_parquet(path)


@pytest.fixture(scope="session")
def study_to_copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `report` reads, made once for all tests."""
    return _make_study(tmp_path_factory.mktemp("study_to_copy"), controls=[])


@pytest.fixture(scope="session")
def controlled_study_to_copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with controls, made of the attribute color."""
    return _make_study(tmp_path_factory.mktemp("controlled"), ["harm-20", "harm-10", "null-a", "null-b"])


def _make_study(root: Path, controls: list[str]) -> Path:
    params = _study_params(root, controls)
    photos = [_study_photo(root, index, number) for index in (0, 1) for number in range(3)]
    write_manifest(root / paths.PHOTOS_MANIFEST, photos)
    counts = {split: dict.fromkeys(STUDY_CLASSES, 3) for split in ("train", "val", "test")}
    info = {"name": "rendered_aircraft", "domain_word": "aircraft", "classes": list(STUDY_CLASSES), "counts": counts}
    write_json(root / paths.DATASET_INFO, info)
    for attribute in params["grid"]["attributes"]:
        for feasibility in params["grid"]["feasibilities"]:
            edits = _study_edits(root, photos, attribute, feasibility)
            write_manifest(root / paths.edit_folder(attribute, feasibility) / "manifest.parquet", edits)
    _study_metrics(root, params["grid"])
    return root


@pytest.fixture
def finished_study(study_to_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with all that `report` reads: two attributes, two seeds, made-up but whole results."""
    return _enter(study_to_copy, tmp_path, monkeypatch)


@pytest.fixture
def controlled_study(controlled_study_to_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same with controls."""
    return _enter(controlled_study_to_copy, tmp_path, monkeypatch)


def _enter(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    for name in ("DVC_EXP_NAME", "MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    shutil.copytree(study, tmp_path, dirs_exist_ok=True)
    return tmp_path
