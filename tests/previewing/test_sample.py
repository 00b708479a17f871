"""The masks of a preview, which sees a few batches alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.tiny_study import REPOSITORY

from varireal.base.files import encode_png, sha256_bytes
from varireal.base.manifest import ImageRecord
from varireal.config import Params, load_params
from varireal.previewing.sample import find_masks

SIDE = 10


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    """The settings of a data set that has masks, looked at by twos in this process."""
    monkeypatch.chdir(tmp_path)
    found = load_params(REPOSITORY / "params.yaml")
    segment = found.segment.model_copy(update={"source": "dataset", "fallback": None, "batch_size": 2, "max_border": 1})
    compute = found.compute.model_copy(update={"device": "cpu", "workers": 1})
    return found.model_copy(update={"segment": segment, "compute": compute})


def photo(name: str, class_name: str, masked: int | None) -> ImageRecord:
    """Write a photo with a mask of so many pixels; None: it has no mask."""
    data = encode_png(np.full((SIDE, SIDE, 3), 90, np.uint8))
    path, mask = Path(f"{name}.png"), Path(f"{name}-mask.png")
    path.write_bytes(data)
    if masked is not None:
        mask.write_bytes(encode_png(((np.arange(SIDE**2) < masked) * 255).astype(np.uint8).reshape(SIDE, SIDE)))
    found = mask.as_posix() if masked is not None else None
    return ImageRecord(name, path.as_posix(), "photo", "train", class_name, 0, SIDE, SIDE, sha256_bytes(data), name,
                       mask_path=found)  # fmt: skip


def test_a_class_whose_only_photo_here_has_no_usable_mask_ends_nothing(params: Params, tmp_path: Path) -> None:
    photos = [photo("a1", "cat", 40), photo("b1", "dog", 0), photo("b2", "dog", 40), photo("b3", "dog", 40)]
    found = find_masks(params, photos, photos[:1], "animal", tmp_path / "masks")
    assert [each.image_id for each in found.photos] == ["a1", "b1"]  # the batch of a1
    assert [(each.image_id, each.note) for each in found.failed] == [("b1", "empty")]


def test_masks_that_the_data_set_has_of_other_photos_alone_are_no_error(params: Params, tmp_path: Path) -> None:
    photos = [photo("a1", "cat", None), photo("a2", "cat", None), photo("b1", "dog", 40)]
    found = find_masks(params, photos, photos[:1], "animal", tmp_path / "masks")
    assert [each.note for each in found.failed] == ["no mask", "no mask"]
