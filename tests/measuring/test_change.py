"""The region from the settings of a manifest row; PSNR and SSIM by region against formulas written out with scipy."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from varireal.base.manifest import ImageRecord
from varireal.errors import UserError
from varireal.measuring.change import kept_share, measure_change, region_of, ssim_map
from varireal.measuring.strength import measure_strength

HEIGHT, WIDTH = 40, 52


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


@pytest.fixture
def region() -> np.ndarray:
    area = np.zeros((HEIGHT, WIDTH), bool)
    area[5:20, 10:30] = True
    return area


def scipy_ssim(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    def blur(values: np.ndarray) -> np.ndarray:
        return gaussian_filter(values, (1.5, 1.5, 0), mode="mirror", truncate=3.5)

    x, y = first.astype(float), second.astype(float)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_x, mean_y = blur(x), blur(y)
    var_x, var_y, cov = blur(x * x) - mean_x**2, blur(y * y) - mean_y**2, blur(x * y) - mean_x * mean_y
    values = (2 * mean_x * mean_y + c1) * (2 * cov + c2) / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
    return values.mean(axis=2)


def test_ssim_is_that_of_the_formula() -> None:
    photo = noise(0)
    edit = np.clip(photo + np.random.default_rng(1).normal(0, 20, photo.shape), 0, 255).astype(np.uint8)
    found = ssim_map(photo, edit)
    assert found.shape == (HEIGHT, WIDTH)
    np.testing.assert_allclose(found, scipy_ssim(photo, edit), atol=1e-6)
    assert 0 < found.mean() < 1


def test_an_exact_edit_changes_its_region_only(region: np.ndarray) -> None:
    photo = noise(0)
    edit = np.where(region[..., None], noise(1), photo)
    change = measure_change(photo, edit, region)
    assert (change.changed_outside, change.psnr_outside) == (0, math.inf)
    assert change.ssim_outside == pytest.approx(1, abs=1e-9)
    error = ((photo[region].astype(float) - edit[region]) ** 2).mean()
    assert change.psnr_inside == pytest.approx(20 * math.log10(255) - 10 * math.log10(error))
    assert change.ssim_inside == pytest.approx(scipy_ssim(photo, edit)[region].mean(), abs=1e-6)
    assert change.ssim_inside < 0.5


def test_every_pixel_that_leaks_out_is_counted(region: np.ndarray) -> None:
    photo = noise(0)
    edit = photo.copy()
    edit[30, 40, 1] ^= 1
    edit[35, 3] ^= 255
    change = measure_change(photo, edit, region)
    assert change.changed_outside == 2 and change.psnr_inside == math.inf
    squares = (photo.astype(float) - edit)[~region] ** 2
    assert change.psnr_outside == pytest.approx(10 * math.log10(255**2 / squares.mean()))
    assert change.ssim_outside < 1 and change.ssim_inside == pytest.approx(1, abs=1e-9)


def test_a_region_without_an_outside_has_no_figures_there() -> None:
    change = measure_change(noise(0), noise(1), np.ones((HEIGHT, WIDTH), bool))
    assert (change.changed_outside, change.psnr_outside, change.ssim_outside) == (0, None, None)
    assert change.psnr_inside is not None


def test_arrays_that_do_not_fit_are_refused(region: np.ndarray) -> None:
    with pytest.raises(ValueError, match="do not belong together"):
        measure_change(noise(0), noise(1)[:-1], region)
    with pytest.raises(ValueError, match="need uint8"):
        measure_change(noise(0), noise(1).astype(float), region)


def edit(attribute: str, settings: dict[str, Any] | None) -> ImageRecord:
    return ImageRecord("a/1#0", "x.png", "edit", "train", "a", 0, 40, 20, "0", "a/1", attribute=attribute,
                       settings=None if settings is None else json.dumps(settings))  # fmt: skip


@pytest.fixture
def mask() -> np.ndarray:
    one = np.zeros((20, 40), bool)
    one[10, 20] = True
    return one


def paste(dilation: float, size: int | None, rim: float = 0) -> dict[str, Any]:
    return {"method": "paste", "recipe": {"dilation": dilation, "rim": rim}, "image_size": size}


def diffusion(dilation: float, size: int | None) -> dict[str, Any]:
    return {"method": "diffusion", "recipe": {"dilation": dilation, "rim": 0}, "inpaint": {"image_size": size}}


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


def test_a_rim_may_change_for_either(mask: np.ndarray) -> None:
    square = np.zeros((20, 40), bool)
    square[5:16, 10:21] = True  # 11 x 11 pixels
    kept = ~region_of(edit("background", paste(0, None, rim=2)), square)
    assert kept[7:14, 12:19].all() and not kept[[5, 15]].any()  # all that is deep, nothing at the edge
    assert kept.sum() < 7 * 7 + 12  # at corners, where it gets thin, a little more
    grown = region_of(edit("color", paste(0, None, rim=2)), square)
    assert grown.sum() == 11 * 11 + 4 * 11  # a pixel beyond


def test_a_background_that_was_laid_by_a_matte_tells_what_it_kept() -> None:
    """The mask is two pixels too wide on every side: the matte keeps the white square and gives those away."""
    photo = np.zeros((20, 40, 3), np.uint8)
    photo[7:14, 12:19] = 255
    wide = np.zeros((20, 40), bool)
    wide[5:16, 10:21] = True
    kept = kept_share(edit("background", paste(0, None, rim=3)), photo, wide)
    assert kept is not None and kept[8:13, 13:18].min() > 0.9 and kept[5, 10:21].max() < 0.1
    pasted = np.where(kept[..., None] > 0.5, photo, np.uint8(128))
    whole, soft = (measure_strength("background", photo, pasted, wide, each).lost for each in (None, kept))
    assert whole == pytest.approx((11 * 11 - 7 * 7) / (11 * 11), abs=0.02) and whole - 0.05 < soft <= whole
    assert kept_share(edit("background", paste(0, None)), photo, wide) is None
    assert kept_share(edit("color", paste(0, None, rim=3)), photo, wide) is None


def test_a_square_that_the_manifest_does_not_tell_leaves_the_region_unknown(mask: np.ndarray) -> None:
    assert region_of(edit("color", diffusion(1, None)), mask) is None


@pytest.mark.parametrize("settings", [None, {}, {"recipe": {"dilation": "wide"}}, {"recipe": {"dilation": 1}}])
def test_a_row_without_settings_is_named(mask: np.ndarray, settings: dict[str, Any] | None) -> None:
    with pytest.raises(UserError, match="settings of edit a/1#0 hold no region"):
        region_of(edit("color", settings), mask)
