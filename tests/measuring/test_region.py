"""The region that an edit may change, from the settings of its manifest row."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from varireal.base.manifest import ImageRecord
from varireal.errors import UserError
from varireal.measuring.region import region_of


def edit(attribute: str, settings: dict[str, Any] | None) -> ImageRecord:
    return ImageRecord("a/1#0", "x.png", "edit", "train", "a", 0, 40, 20, "0", "a/1", attribute=attribute,
                       settings=None if settings is None else json.dumps(settings))  # fmt: skip


@pytest.fixture
def mask() -> np.ndarray:
    one = np.zeros((20, 40), bool)
    one[10, 20] = True
    return one


def paste(dilation: float, size: int | None) -> dict[str, Any]:
    return {"method": "paste", "recipe": {"dilation": dilation}, "image_size": size}


def diffusion(dilation: float, size: int | None) -> dict[str, Any]:
    return {"method": "diffusion", "recipe": {"dilation": dilation}, "inpaint": {"image_size": size}}


@pytest.mark.parametrize(
    ("settings", "pixels"),
    [
        (paste(0, 20), 1),
        (paste(1, None), 5),  # the photo's own pixels: one centre and its four neighbours
        (paste(1, 20), 13),  # the photo is twice the square, so that one pixel is two
        (diffusion(1, 20), 13),
        (diffusion(0, None), 1),  # of an unknown square, but nothing is grown
    ],
)
def test_lengths_are_pixels_of_the_models_square(mask: np.ndarray, settings: dict[str, Any], pixels: int) -> None:
    assert region_of(edit("color", settings), mask).sum() == pixels
    assert region_of(edit("background", settings), mask).sum() == mask.size - pixels


def test_a_square_that_the_manifest_does_not_tell_leaves_the_region_unknown(mask: np.ndarray) -> None:
    assert region_of(edit("color", diffusion(1, None)), mask) is None


@pytest.mark.parametrize("settings", [None, {}, {"recipe": {"dilation": "wide"}}, {"recipe": {"dilation": 1}}])
def test_a_row_without_settings_is_named(mask: np.ndarray, settings: dict[str, Any] | None) -> None:
    with pytest.raises(UserError, match="settings of edit a/1#0 hold no region"):
        region_of(edit("color", settings), mask)
