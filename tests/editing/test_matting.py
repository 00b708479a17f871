"""Soft rims: mattes of photos whose true shares and colours are known, and what edits make of them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from varireal.config import EditConfig, InpaintConfig, PriorConfig, Recipe
from varireal.editing import EDITORS
from varireal.editing.drafts import Draft, lay_out
from varireal.editing.matting import Matte, find_matte, over, resurfaced
from varireal.editing.pixels import dilate, edited_region, inner_part
from varireal.editing.recipe import Composite

SIDE, RIM = 64, 6
RED, GREEN, WHITE = (np.array(rgb, np.float32) for rgb in ((200, 30, 40), (20, 160, 60), (255, 255, 255)))


@pytest.fixture(scope="module")
def soft() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A soft red disc on green: photo, its true shares, and a generous mask, two pixels too large."""
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    distance = np.hypot(y - 31.5, x - 31.5)
    share = gaussian_filter((distance < 18).astype(np.float32), 1.5)
    noise = np.random.default_rng(0).normal(0, 3, (SIDE, SIDE, 3))
    photo = share[..., None] * RED + (1 - share[..., None]) * GREEN + noise
    return np.clip(photo, 0, 255).astype(np.uint8), share, distance < 20


@pytest.fixture(scope="module")
def matte(soft) -> Matte:
    photo, _, mask = soft
    return find_matte(photo, mask, RIM)


def test_shares_and_colours_are_the_true_ones(soft, matte) -> None:
    photo, share, mask = soft
    rim = dilate(mask, RIM / 2) & ~inner_part(mask, RIM)
    assert np.abs(matte.alpha - share)[rim].mean() < 0.04
    partly = rim & (share > 0.3)
    assert np.abs(matte.foreground[partly] - RED).mean() < 15  # those of the photo itself are off by 28
    assert np.abs(photo[partly] - RED).mean() > 25


def test_it_is_sure_where_the_mask_is(soft, matte) -> None:
    photo, _, mask = soft
    inner = inner_part(mask, RIM)
    assert (matte.alpha[inner] == 1).all() and np.array_equal(matte.foreground[inner], photo[inner])
    assert not matte.alpha[~dilate(mask, RIM / 2)].any()
    again = find_matte(photo, mask, RIM)
    assert np.array_equal(again.alpha, matte.alpha) and np.array_equal(again.foreground, matte.foreground)


def test_no_old_background_shines_through(soft, matte) -> None:
    photo, _, mask = soft
    before = np.full_like(photo, 255)
    shown, hard = over(matte, before), np.where(mask[..., None], photo, before)
    green = [(each[..., 1] > each[..., 0].astype(int) + 40).sum() for each in (shown, hard)]
    assert green[0] == 0 and green[1] > 100
    blue = resurfaced(photo, matte, np.broadcast_to(np.array((0, 0, 255), np.uint8), photo.shape))
    assert np.array_equal(blue[matte.alpha == 0], photo[matte.alpha == 0])
    assert (blue[matte.alpha == 1] == (0, 0, 255)).all()


def test_a_rim_that_leaves_no_object_or_no_background_is_none() -> None:
    photo = np.random.default_rng(1).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    corner = np.ones((20, 20), bool)
    corner[0, 0] = False
    found = find_matte(photo, corner, 8)
    assert np.array_equal(found.alpha, corner) and np.array_equal(found.foreground, photo)


def test_what_is_too_thin_keeps_its_middle_and_the_border_is_no_edge() -> None:
    mask = np.zeros((40, 60), bool)
    mask[10:, :30] = True  # a body that leaves the photo at its left and lower border
    mask[18:23, 30:55] = True  # a tail, 5 pixels thick
    inner = inner_part(mask, 8)
    assert inner[20, 40:50].all() and not inner[18, 40:50].any() and not inner[22, 40:50].any()
    assert inner[39, 0] and inner[25, 0] and not inner[11, 5]
    assert not inner[~mask].any() and np.array_equal(inner_part(mask, 0), mask)


@pytest.mark.parametrize("attribute", ["background", "color", "texture"])
def test_pasted_edits_stay_within_the_region(attribute, soft, make_photo, make_job, two_pictures, compute) -> None:
    _, _, mask = soft
    config = EditConfig(
        method="paste", prior=PriorConfig(source="pictures"), inpaint=InpaintConfig(), lengths_at=32, recipes={}
    )
    recipe = Recipe(rim=RIM / 2, alpha=0.8)  # the photo is twice as large as the square of the lengths
    editor = EDITORS["paste"](config, recipe, two_pictures, compute)
    [draft] = editor.edit([make_job(make_photo(height=SIDE, width=SIDE, mask=mask), attribute)], [1])
    assert np.array_equal(draft.region, edited_region(attribute, mask, 0, RIM))
    assert np.array_equal(draft.picture[~draft.region], draft.photo[~draft.region])
    assert (draft.picture != draft.photo).any(-1)[inner_part(mask, RIM)].any() is np.bool_(attribute != "background")


@pytest.mark.parametrize("attribute", ["background", "color"])
def test_painted_pixels_are_laid_by_their_share(attribute, soft, matte, make_photo, make_job) -> None:
    photo, _, mask = soft
    recipe = Recipe(rim=RIM, mask_blur=0)
    draft = lay_out(make_job(make_photo(height=SIDE, width=SIDE, mask=mask), attribute), 1, recipe, None)
    white = np.full_like(photo, 255)
    draft: Draft = dataclasses.replace(draft, photo=photo, ground=photo, matte=matte, picture=white)
    [done] = Composite(recipe)([draft])
    assert np.array_equal(done.picture[~draft.region], photo[~draft.region])
    share = matte.alpha[..., None] if attribute == "color" else 1 - matte.alpha[..., None]
    below = photo if attribute == "color" else matte.foreground
    expected = below * (1 - share) + 255.0 * share
    assert np.abs(done.picture - expected)[draft.region].max() <= 1
