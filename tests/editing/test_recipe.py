"""Recipes: what may change, the order of steps, and pixels outside the region identical whatever a model paints."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from varireal.config import EditConfig, InpaintConfig, PriorConfig, Recipe
from varireal.editing import EDITORS
from varireal.editing.drafts import Draft, lay_out, seam
from varireal.editing.pixels import edited_region
from varireal.editing.recipe import Composite, Inpaint, TransferDetail, prior_step
from varireal.prompts.templates import Sentence

ATTRIBUTES = ("background", "color", "texture")
CONFIG = {"prior": PriorConfig(source="pictures"), "inpaint": InpaintConfig(), "recipes": {}}


class Noise:
    """An inpainter that paints everything anew, the kept pixels too, as badly as can be."""

    image_size = 16

    def __init__(self) -> None:
        self.calls: list[dict] = []

    def paint(self, pictures, masks, sentences, seeds, **kwargs):
        self.calls.append({"pictures": pictures, "masks": masks, "sentences": sentences, "seeds": seeds, **kwargs})
        return [np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8) for seed in seeds]


def steps(recipe: Recipe, pictures, inpainter):
    return [prior_step(recipe, pictures), Inpaint(recipe, inpainter), TransferDetail(recipe), Composite(recipe)]


def run(draft: Draft, recipe: Recipe, pictures, inpainter) -> Draft:
    drafts = [draft]
    for step in steps(recipe, pictures, inpainter):
        drafts = step(drafts)
    return drafts[0]


def draft_of(job, photo: np.ndarray, mask: np.ndarray, recipe: Recipe, scale: float = 1.0) -> Draft:
    region = edited_region(job.attribute, mask, recipe.dilation * scale)
    repaint = seam(region, recipe.seam_width * scale) if recipe.region == "seam" else region
    return Draft(job, 5, photo, mask, region, repaint, scale, None, photo, photo, photo)


@settings(max_examples=60, deadline=None)
@given(
    mask=arrays(bool, (14, 20)).filter(np.any),
    attribute=st.sampled_from(ATTRIBUTES),
    dilation=st.integers(-2, 3),
    mask_blur=st.floats(0, 3),
    region=st.sampled_from(["full", "seam"]),
    detail=st.floats(0, 1),
    scale=st.floats(0.5, 2),
)
def test_pixels_outside_the_region_are_the_photo_s_to_the_bit(
    mask, attribute, dilation, mask_blur, region, detail, scale
) -> None:
    recipe = Recipe(
        dilation=dilation, mask_blur=mask_blur, region=region, detail=detail, detail_source="prior", seam_width=2
    )
    photo = np.random.default_rng(1).integers(0, 256, (*mask.shape, 3), dtype=np.uint8)
    draft = draft_of(_Job(attribute), photo, mask, recipe, scale)
    done = run(draft, recipe, _Pictures(), Noise())
    outside = mask if attribute == "background" else ~mask
    if dilation == 0:
        assert np.array_equal(~done.region, outside)
    assert np.array_equal(done.prior[~done.region], photo[~done.region])
    assert np.array_equal(done.picture[~done.region], photo[~done.region])
    assert np.array_equal(done.picture[~done.repaint], done.ground[~done.repaint])


def ringed(photo: np.ndarray, mask: np.ndarray, kernel: float, **settings) -> tuple[Draft, Noise]:
    recipe = Recipe(prior_kernel=kernel, mask_blur=0, **settings)
    noise = Noise()
    drafts = [draft_of(_Job("background"), photo, mask, recipe)]
    for step in [prior_step(recipe, _Pictures(), ring=True), *steps(recipe, None, noise)[1:]]:
        drafts = step(drafts)
    return drafts[0], noise


@pytest.mark.parametrize("region", ["full", "seam"])
def test_the_ring_of_old_background_is_in_the_prior_alone(region) -> None:
    """A square of side 5 round a square object of 4 x 4 pixels: the ring reaches 2 pixels beyond it, corners too."""
    mask = np.zeros((16, 16), bool)
    mask[6:10, 6:10] = True
    photo = np.full((16, 16, 3), 251, np.uint8)  # a level that neither the place nor the noise has there
    done, noise = ringed(photo, mask, 5, region=region, seam_width=1)
    ring = np.zeros_like(mask)
    ring[4:12, 4:12] = True
    ring &= ~mask
    place, _ = ringed(photo, mask, 0, region=region, seam_width=1)
    assert (done.prior[ring] == 251).all() and np.array_equal(done.prior[~ring], place.prior[~ring])
    assert np.array_equal(noise.calls[0]["masks"][0], done.repaint)
    if region == "full":
        assert np.array_equal(done.repaint, ~mask)  # all beside the object itself is painted, the ring too
    assert (done.picture == 251).all(-1)[~mask].mean() < 0.01 and np.array_equal(done.picture[mask], photo[mask])
    assert np.array_equal(done.ground, place.prior) and np.array_equal(done.picture, place.picture)


def test_paste_keeps_no_ring(make_photo, make_job, two_pictures, compute) -> None:
    plain, ring = (
        EDITORS["paste"](EditConfig(method="paste", **CONFIG), Recipe(prior_kernel=kernel), two_pictures, compute)
        for kernel in (0, 20)
    )
    job = make_job(make_photo(), "background")
    assert np.array_equal(plain.edit([job], [1])[0].picture, ring.edit([job], [1])[0].picture)
    assert plain.identity == ring.identity


def test_black_bars_are_painted_with_a_background_but_not_with_an_object(make_photo, make_job, two_pictures) -> None:
    recipe, noise = Recipe(), Noise()
    photo = make_photo(height=8, width=16)
    for attribute in ("background", "texture"):
        drafts = prior_step(recipe, two_pictures)([lay_out(make_job(photo, attribute), 3, recipe, None)])
        Inpaint(recipe, noise, black_bars=True)(drafts)
    background, texture = noise.calls
    assert background["masks"][0][8:].all() and not texture["masks"][0][8:].any()
    for call in noise.calls:
        assert not call["pictures"][0][8:].any() and call["pictures"][0][:8].any()


@dataclasses.dataclass(frozen=True)
class _Job:
    """As much of a job as the steps look at."""

    attribute: str
    sentence: Sentence = dataclasses.field(default_factory=lambda: Sentence("a sentence"))
    spec = type("Spec", (), {"rgb": (200, 20, 20), "name": "red"})


class _Pictures:
    def pick(self, spec, rng):
        return np.random.default_rng(2).integers(0, 256, (30, 30, 3), dtype=np.uint8)


def test_regions() -> None:
    mask = np.zeros((9, 9), bool)
    mask[4, 4] = True
    assert edited_region("color", mask, 1).sum() == 5
    assert edited_region("texture", mask, 0).sum() == 1
    background = edited_region("background", mask, 1)
    assert background.sum() == 81 - 5 and not background[4, 4]


def test_an_object_shrinks_by_a_negative_dilation_unless_nothing_would_be_left() -> None:
    mask = np.zeros((9, 9), bool)
    mask[2:7, 2:7] = True
    kept = ~edited_region("background", mask, -1)
    assert kept[3:6, 3:6].all() and kept.sum() == 9
    assert edited_region("color", mask, -1).sum() == 9
    assert np.array_equal(edited_region("color", mask, -3), mask)


def test_the_seam_is_the_band_on_the_edited_side() -> None:
    mask = np.zeros((11, 11), bool)
    mask[:, :4] = True
    band = seam(edited_region("background", mask, 0), 2)
    assert np.argwhere(band.any(0)).ravel().tolist() == [4, 5]
    assert np.argwhere(seam(mask, 2).any(0)).ravel().tolist() == [2, 3]


def test_the_seam_alone_is_repainted(make_photo, make_job, two_pictures) -> None:
    recipe = Recipe(region="seam", seam_width=2, dilation=1, mask_blur=0)
    done = run(lay_out(make_job(make_photo(), "background"), 3, recipe, None), recipe, two_pictures, Noise())
    assert done.repaint.sum() < done.region.sum() / 4
    changed = (done.picture != done.prior).any(-1)
    assert changed.any() and not changed[~done.repaint].any()


def test_the_model_gets_the_prior_the_repaint_mask_and_the_settings(make_photo, make_job, two_pictures) -> None:
    recipe = Recipe(dilation=1, strength=0.6, guidance_scale=3.0, num_inference_steps=9)
    noise = Noise()
    job = make_job(make_photo(height=16, width=16), "color")
    draft = lay_out(job, 3, recipe, None)
    done = run(draft, recipe, None, noise)
    call = noise.calls[0]
    assert np.array_equal(call["pictures"][0], done.prior)
    assert np.array_equal(call["masks"][0], draft.region)
    assert call["sentences"] == [Sentence("a photo of a red jet aircraft", "red")] and call["seeds"] == [3]
    assert (call["strength"], call["guidance_scale"], call["num_inference_steps"]) == (0.6, 3.0, 9)


def test_photos_of_different_sizes_share_a_batch(make_photo, make_job, two_pictures) -> None:
    recipe = Recipe(dilation=1)
    sizes = [(20, 50), (64, 16), (16, 16)]
    jobs = [make_job(make_photo(f"jet/{h}", height=h, width=w), "texture") for h, w in sizes]
    drafts = [lay_out(job, k, recipe, 16) for k, job in enumerate(jobs)]
    noise = Noise()
    for step in steps(recipe, two_pictures, noise):
        drafts = step(drafts)
    assert len(noise.calls) == 1
    assert [draft.picture.shape for draft in drafts] == [(20, 50, 3), (64, 16, 3), (16, 16, 3)]
    for draft in drafts:
        assert np.array_equal(draft.picture[~draft.region], draft.photo[~draft.region])


def test_lengths_grow_with_the_photo(make_photo, make_job) -> None:
    mask = np.zeros((64, 64), bool)
    mask[32, 32] = True
    job = make_job(make_photo(height=64, width=64, mask=mask), "color")
    recipe = Recipe(dilation=2)
    assert lay_out(job, 0, recipe, 16).region.sum() == sum(
        math.hypot(y, x) <= 8 for y in range(-8, 9) for x in range(-8, 9)
    )
    assert lay_out(job, 0, recipe, None).region.sum() == 13


def test_full_photo_detail_leaves_the_ring_around_the_object_as_it_was(make_photo, make_job) -> None:
    recipe = Recipe(dilation=3, detail=1.0, mask_blur=0)
    done = run(lay_out(make_job(make_photo(), "color"), 3, recipe, None), recipe, None, Noise())
    ring = done.region & ~done.mask
    assert np.array_equal(done.picture[ring], done.photo[ring])


def test_a_prior_depends_on_the_seed(make_photo, make_job, two_pictures) -> None:
    recipe = Recipe()
    job = make_job(make_photo(), "background")
    priors = {
        prior_step(recipe, two_pictures)([lay_out(job, seed, recipe, None)])[0].prior.tobytes() for seed in range(6)
    }
    assert len(priors) > 3
    again = prior_step(recipe, two_pictures)([lay_out(job, 0, recipe, None)])[0].prior.tobytes()
    assert again in priors


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_paste_is_the_prior(attribute, make_photo, make_job, two_pictures, quick_recipe, compute) -> None:
    editor = EDITORS["paste"](EditConfig(method="paste", **CONFIG), quick_recipe, two_pictures, compute)
    [draft] = editor.edit([make_job(make_photo(height=48, width=36), attribute)], [1])
    assert draft.picture is draft.prior
    assert np.array_equal(draft.picture[~draft.region], draft.photo[~draft.region])
    assert not np.array_equal(draft.picture, draft.photo)


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_diffusion_edits_at_the_photo_s_own_size(
    attribute, make_photo, make_job, two_pictures, quick_recipe, compute, tiny_sdxl_inpaint
) -> None:
    inpaint = InpaintConfig(checkpoint=str(tiny_sdxl_inpaint), batch_size=2)
    config = EditConfig(method="diffusion", **{**CONFIG, "inpaint": inpaint})
    editor = EDITORS["diffusion"](config, quick_recipe, two_pictures, compute)
    jobs = [make_job(make_photo("jet/a", 48, 36), attribute), make_job(make_photo("jet/b", 32, 32), attribute)]
    first, second = editor.edit(jobs, [1, 2])
    assert first.picture.shape == (48, 36, 3) and second.picture.shape == (32, 32, 3)
    for draft in (first, second):
        assert np.array_equal(draft.picture[~draft.region], draft.photo[~draft.region])
        assert not np.array_equal(draft.picture, draft.prior)
