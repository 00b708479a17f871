"""An adapter's folder as `varireal train` leaves it, with weights that change every logit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from varireal.base.files import encode_png
from varireal.base.seeding import generator
from varireal.config import ClipConfig, LoraSettings
from varireal.networks.clip import clip_identity, load_clip
from varireal.store import FolderStore
from varireal.training.plan import RESULT, FineTuning, write_adapters

CLASSES = ["biplane", "glider", "<b>jet</b>"]
SENTENCES = ["a photo of a biplane", "a photo of a glider", "a photo of a jet aircraft"]


def make_adapter(folder: Path, clip: ClipConfig, **changes: object) -> Path:
    """Write an adapter with random weights for a CLIP into ``folder``/seed-0, described as trained ones are."""
    import torch

    from varireal.training.lora import adapter_bytes, add_lora, trainable_parameters

    model = add_lora(load_clip(clip.model, clip.pretrained).model, LoraSettings(), 0)
    draw = torch.Generator().manual_seed(1)
    for parameter in trainable_parameters(model):
        parameter.data = 0.2 * torch.randn(parameter.shape, generator=draw)
    store = FolderStore("train", folder / "store")
    store.put({"0" * 64: {**adapter_bytes(model), RESULT: b"{}"}})
    description = {
        "clip": clip.model_dump(),
        "clip_weights": clip_identity(clip.model, clip.pretrained),
        "classes": CLASSES,
        "sentences": SENTENCES,
        **changes,
    }
    write_adapters(folder, [FineTuning("real", 0, "0" * 64, 1)], store, description)
    return folder / "seed-0"


@pytest.fixture
def adapter(tiny_clip: Path, tmp_path: Path) -> Path:
    """An adapter of the tiny CLIP."""
    return make_adapter(tmp_path / "adapters", ClipConfig(model=f"local-dir:{tiny_clip}", pretrained=None))


def picture(name: str, height: int = 40, width: int = 52) -> np.ndarray:
    """Return a picture of coloured noise, of its own for every name."""
    rng = generator("test_serving", name)
    return (rng.integers(0, 256, (height, width, 3)) * rng.random(3)).astype(np.uint8)


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    """Three photos in a folder, one of them in a folder of its own; sorted by path."""
    paths = [tmp_path / "photos" / name for name in ("a.png", "b.png", "deep/c.png")]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_png(picture(path.name)))
    return paths
