"""A small working folder with what the stages before `mix` leave behind."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from varireal import paths
from varireal.base.files import atomic_write_bytes, encode_png, sha256_bytes, write_json
from varireal.base.manifest import FEASIBILITIES, ImageRecord, write_manifest
from varireal.base.seeding import generator
from varireal.compute.processes import available_cores

CLASSES = ("trijet", "biplane", "glider")
TONES = {"trijet": (220, 60, 60), "biplane": (60, 220, 60), "glider": (60, 60, 220)}
PHOTOS = {"train": 4, "val": 3, "test": 4}
REPOSITORY = Path(__file__).parents[2]


def _picture(path: Path, class_name: str, *seed: str | int) -> dict[str, Any]:
    """Write a noisy picture whose tone tells its class; return the fields of its record."""
    noise = generator("test picture", *seed).normal(0, 30, (32, 32, 3))
    data = encode_png(np.clip(noise + TONES[class_name], 0, 255).astype(np.uint8))
    atomic_write_bytes(path, data)
    return {"path": path.as_posix(), "sha256": sha256_bytes(data), "width": 32, "height": 32}


def _photos() -> list[ImageRecord]:
    rows = []
    for index, name in enumerate(CLASSES):
        for split, count in PHOTOS.items():
            for number in range(count):
                image_id = f"{name}/{split}-{number}"
                fields = _picture(paths.PREPARED / "photos" / f"{image_id}.png", name, image_id)
                rows.append(
                    ImageRecord(
                        image_id,
                        origin="photo",
                        split=split,
                        class_name=name,
                        class_index=index,
                        photo_id=image_id,
                        **fields,
                    )
                )
    return rows


def _edits(photos: list[ImageRecord], attribute: str, feasibility: str) -> list[ImageRecord]:
    rows = []
    for photo in photos:
        image_id = f"{photo.image_id}#{attribute}-{feasibility}-0"
        path = paths.edit_folder(attribute, feasibility) / "images" / f"{photo.image_id.replace('/', '-')}.png"
        fields = _picture(path, photo.class_name, attribute, feasibility, image_id)
        rows.append(
            dataclasses.replace(
                photo,
                image_id=image_id,
                origin="edit",
                status="accepted",
                attribute=attribute,
                feasibility=feasibility,
                value="lava",
                index=0,
                photo_path=photo.path,
                **fields,
            )
        )
    return rows


@pytest.fixture(scope="session")
def workspace_to_copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The working folder, made once for all tests."""
    root = tmp_path_factory.mktemp("workspace_to_copy")
    params = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    params["grid"] |= {"attributes": ["color"], "seeds": [0, 1], "controls": []}
    params["train"] |= {"max_steps": 4, "batch_size": 6, "eval_every": 2, "learning_rate": 0.01}
    params["compute"] |= {"device": "cpu", "num_threads": available_cores()}  # so many that one process does it all
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        paths.PARAMS.write_text(yaml.safe_dump(params))
        photos = _photos()
        write_manifest(paths.PHOTOS_MANIFEST, photos)
        counts = {split: dict.fromkeys(CLASSES, count) for split, count in PHOTOS.items()}
        info = {"name": "test", "domain_word": "aircraft", "classes": list(CLASSES), "counts": counts}
        write_json(paths.DATASET_INFO, info)
        for feasibility in FEASIBILITIES:
            rows = _edits([photo for photo in photos if photo.split == "train"], "color", feasibility)
            write_manifest(paths.edit_folder("color", feasibility) / "manifest.parquet", rows)
    return root


@pytest.fixture
def workspace(workspace_to_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: params.yaml, a data set of three classes, and edits of `color`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    shutil.copytree(workspace_to_copy, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.fixture
def clip_workspace(workspace: Path, tiny_clip: Path, change_params) -> Path:
    """The same with the tiny CLIP as the classifier."""
    change_params("clip.model", f"local-dir:{tiny_clip}")
    return workspace


@pytest.fixture
def change_params():
    """Return a function that changes one value of params.yaml, named by its dotted key."""

    def change(key: str, value: Any) -> None:
        params = yaml.safe_load(paths.PARAMS.read_text())
        *sections, last = key.split(".")
        section = params
        for name in sections:
            section = section[name]
        section[last] = json.loads(json.dumps(value))
        paths.PARAMS.write_text(yaml.safe_dump(params))

    return change
