"""A tiny random checkpoint of every family with a rectified-flow transformer, each saved once."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.editing.tiny_flow_pipelines import PAINTERS, SIDES, save_flow_pipeline

from varireal.editing.families import FAMILIES


@pytest.fixture(scope="session", params=PAINTERS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="session")
def checkpoint(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_flow_pipeline(kind, tmp_path_factory.mktemp(kind) / "checkpoint")


@pytest.fixture(scope="module", autouse=True)
def small_squares_of_qwen() -> Iterator[None]:
    """Qwen's pipelines draw a million pixels whatever is asked for, which takes a CPU 5 s: here they draw 64 x 64."""
    side, family = SIDES["qwen_image"], FAMILIES["qwen_image"]
    with pytest.MonkeyPatch.context() as patch:
        for name, sizes in {"edit_inpaint": (side, side, None), "edit_plus": (side, side)}.items():
            module = importlib.import_module(f"diffusers.pipelines.qwenimage.pipeline_qwenimage_{name}")
            patch.setattr(module, "calculate_dimensions", lambda *_, sizes=sizes: sizes)
        patch.setattr(family, "abilities", dataclasses.replace(family.abilities, only=side))
        yield
