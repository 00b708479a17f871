"""Photos with masks on disk, and jobs to edit them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.editing.tiny_pipelines import save_refiner

from varireal.base.files import atomic_write_bytes, encode_png, sha256_file
from varireal.base.manifest import ImageRecord
from varireal.compute.engines.local import LocalEngine
from varireal.config import ComputeConfig, EditConfig, InpaintConfig, PriorConfig, Recipe
from varireal.editing import EDITORS
from varireal.editing.jobs import EditJob
from varireal.editing.run import EditRun
from varireal.prompts import AttributeSpec
from varireal.prompts.templates import edit_prompt

CPU = ComputeConfig(device="cpu", workers=1)


@pytest.fixture
def compute() -> ComputeConfig:
    return CPU


@pytest.fixture
def make_photo(tmp_path: Path) -> Callable[..., ImageRecord]:
    """Return a function that writes a random photo with a mask (a disc unless given) and returns its record."""

    def make(name: str = "jet/0", height: int = 32, width: int = 32, mask: np.ndarray | None = None, **fields: Any):
        if mask is None:
            y, x = np.mgrid[0:height, 0:width]
            mask = ((y - height / 2) / height) ** 2 + ((x - width / 2) / width) ** 2 < 0.3**2
        pixels = np.random.default_rng(len(name) + height).integers(0, 256, (height, width, 3), dtype=np.uint8)
        path, mask_path = tmp_path / "photos" / f"{name}.png", tmp_path / "masks" / f"{name}.png"
        atomic_write_bytes(path, encode_png(pixels))
        atomic_write_bytes(mask_path, encode_png(mask.astype(np.uint8) * 255))
        record = {
            "image_id": name, "path": str(path), "origin": "photo", "split": "train", "class_name": "jet",
            "class_index": 0, "width": width, "height": height, "sha256": sha256_file(path), "photo_id": name,
            "mask_path": str(mask_path),
        }  # fmt: skip
        return ImageRecord(**{**record, **fields})

    return make


SPECS = {
    "background": AttributeSpec(name="lava", phrase="on a lava field"),
    "color": AttributeSpec(name="red", phrase="red", rgb=(200, 20, 20)),
    "texture": AttributeSpec(name="brick", phrase="brick textured"),
}


@pytest.fixture
def make_job() -> Callable[..., EditJob]:
    """Return a function that makes a job for a photo."""

    def make(photo: ImageRecord, attribute: str, index: int = 0) -> EditJob:
        spec = SPECS[attribute]
        prompt = edit_prompt(attribute, spec.phrase, photo.class_name, "aircraft")
        mask_hash = sha256_file(Path(photo.mask_path))
        return EditJob(photo, mask_hash, attribute, "infeasible", index, spec, prompt, run_seed=0)

    return make


class TwoPictures:
    """A source that offers two random pictures of every value."""

    def __init__(self) -> None:
        self.pictures = np.random.default_rng(9).integers(0, 256, (2, 40, 60, 3), dtype=np.uint8)

    def check(self, specs: Any) -> None: ...

    def prepare(self, specs: Any, engine: Any) -> None: ...

    def pick(self, spec: AttributeSpec, rng: np.random.Generator) -> np.ndarray:
        return self.pictures[int(rng.integers(2))]

    def identity(self, spec: AttributeSpec) -> str:
        return "two pictures"


@pytest.fixture
def two_pictures() -> TwoPictures:
    return TwoPictures()


@pytest.fixture
def quick_recipe() -> Recipe:
    """Two steps at strength 1."""
    return Recipe(num_inference_steps=2, strength=1.0, guidance_scale=2.0, dilation=1, mask_blur=0.7, alpha=0.8)


@pytest.fixture(scope="session")
def refiners(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, dict[str, Any]]:
    """The section `edit.refine` of both families, by whether it is XL."""
    return {xl: save_refiner(tmp_path_factory.mktemp("refiner"), xl) for xl in (True, False)}


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of finished work, which is empty."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    return tmp_path / ".work"


@pytest.fixture
def jobs(work, make_photo, make_job) -> list[EditJob]:
    """Return a job for each of five photos; finished work has a folder of its own."""
    return [make_job(make_photo(f"jet/{k}"), "background") for k in range(5)]


@pytest.fixture
def make_run(two_pictures, quick_recipe, compute, tiny_sdxl_inpaint):
    """Return a function that builds a run with this filter; `recipe` and `method` may be changed."""

    def make(edit_filter, recipe: Recipe = quick_recipe, method: str = "diffusion", max_attempts: int = 3, **kwargs):
        inpaint = InpaintConfig(checkpoint=str(tiny_sdxl_inpaint), batch_size=2)
        config = EditConfig(method=method, prior=PriorConfig(source="pictures"), inpaint=inpaint, recipes={})
        editor = EDITORS[method](config, recipe, two_pictures, compute)
        options = {"max_attempts": max_attempts, "batch_size": 2, "keep_priors": True, **kwargs}
        return EditRun(editor, edit_filter, two_pictures, LocalEngine(compute, ("torch",)), **options)

    return make
