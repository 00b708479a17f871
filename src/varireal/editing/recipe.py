"""Recipes: the ordered steps of an edit, each a small class over drafts.

    lay out -> PasteColor or PastePicture -> Inpaint -> Refine -> TransferDetail -> Composite

Method ``paste`` ends after the prior is pasted; Refine is there if the recipe says so.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from varireal.base.seeding import derive_seed, generator
from varireal.config import Recipe
from varireal.editing.drafts import Draft, edited_surface, letterbox
from varireal.editing.inpaint import Inpainter
from varireal.editing.matting import over, resurfaced
from varireal.editing.pictures import PictureSource
from varireal.editing.pixels import (
    blurred_edges,
    canny_edges,
    composite,
    dilate_by_square,
    feather,
    object_of,
    on_grey,
    sharpened,
    transfer_detail,
)
from varireal.editing.priors import PLACE_ZOOM, background_prior, cover_crop, surface_prior
from varireal.editing.refine import Refiner

EXAMPLE_GREY = 100  # what the object of an image prompt stands on, as in the study


class RecipeStep(Protocol):
    """Does one step of a recipe."""

    def __call__(self, drafts: Sequence[Draft]) -> list[Draft]:
        """Return the drafts with this step done."""
        ...


@dataclasses.dataclass(frozen=True)
class PasteColor:
    """Paint the object in its new colour: the prior of a colour."""

    recipe: Recipe

    def __call__(self, drafts: Sequence[Draft]) -> list[Draft]:
        return [
            _with_prior(draft, _new_surface(draft, self.recipe, np.array(draft.job.spec.rgb, np.float32)))
            for draft in drafts
        ]


@dataclasses.dataclass(frozen=True)
class PastePicture:
    """Paste a part of one of the value's pictures: the prior of a place or a material.

    With ``ring`` the prior of a place keeps the old background near the object, within the recipe's ``prior_kernel``:
    it tells the model, which paints over it, where the object stands and how large it is.
    """

    recipe: Recipe
    pictures: PictureSource
    ring: bool = False

    def __call__(self, drafts: Sequence[Draft]) -> list[Draft]:
        return [self._pasted(draft) for draft in drafts]

    def _pasted(self, draft: Draft) -> Draft:
        recipe, mirror = self.recipe, self.recipe.mirror
        rng = generator("prior", draft.seed)
        picture = self.pictures.pick(draft.job.spec, rng)
        height, width = draft.mask.shape
        if draft.job.attribute != "background":
            shares = (recipe.crop_min, recipe.crop_max, mirror, recipe.crop_reach)
            part = cover_crop(picture, height, width, rng, *shares)
            return _with_prior(draft, _new_surface(draft, recipe, sharpened(part, recipe.sharpen)))
        place = cover_crop(picture, height, width, rng, PLACE_ZOOM, mirror=mirror)
        kept, softness = ~draft.region, recipe.mask_blur * draft.scale
        ground = over(draft.matte, place) if draft.matte else background_prior(draft.photo, kept, place, softness)
        pasted = _with_prior(draft, ground)
        if not self.ring or not recipe.prior_kernel:
            return pasted
        grown = dilate_by_square(
            object_of(draft.mask, recipe.dilation * draft.scale), recipe.prior_kernel * draft.scale
        )
        prior = background_prior(draft.photo, grown, place, softness)
        return dataclasses.replace(pasted, prior=prior, picture=prior)


def prior_step(recipe: Recipe, pictures: PictureSource | None, ring: bool = False) -> RecipeStep:
    """Return the step that makes priors; edits without pictures of places or materials are colours."""
    return PasteColor(recipe) if pictures is None else PastePicture(recipe, pictures, ring)


def _new_surface(draft: Draft, recipe: Recipe, surface: np.ndarray) -> np.ndarray:
    painted = edited_surface(draft, recipe)
    if draft.matte:
        new = surface_prior(draft.matte.foreground, painted, surface, recipe.alpha, recipe.keep_shading, 0)
        return resurfaced(draft.photo, draft.matte, new)
    softness = recipe.mask_blur * draft.scale
    return surface_prior(draft.photo, painted, surface, recipe.alpha, recipe.keep_shading, softness)


def _with_prior(draft: Draft, prior: np.ndarray) -> Draft:
    return dataclasses.replace(draft, prior=prior, ground=prior, picture=prior)


@dataclasses.dataclass(frozen=True)
class Inpaint:
    """Let the model paint the region (or the seam) of each draft, on its square, all drafts in one batch.

    Black bars of the square are painted with a background, mirrored ones never.
    """

    recipe: Recipe
    inpainter: Inpainter
    black_bars: bool = False

    def __call__(self, drafts: Sequence[Draft]) -> list[Draft]:
        boxes = [letterbox(draft.mask, self.inpainter.image_size, self.black_bars) for draft in drafts]
        bars = [self.black_bars and draft.job.attribute == "background" for draft in drafts]
        squares = self.inpainter.paint(
            [box.image(draft.picture) for box, draft in zip(boxes, drafts)],
            [box.mask(draft.repaint, each) for box, draft, each in zip(boxes, drafts, bars)],
            [draft.job.sentence for draft in drafts],
            [draft.seed for draft in drafts],
            strength=self.recipe.strength,
            guidance_scale=self.recipe.guidance_scale,
            num_inference_steps=self.recipe.num_inference_steps,
        )
        return [
            dataclasses.replace(draft, picture=box.back(square)) for draft, box, square in zip(drafts, boxes, squares)
        ]


@dataclasses.dataclass(frozen=True)
class Refine:
    """Draw each painted object anew, led by the edges of the photo's object and by a picture of the painted one."""

    recipe: Recipe
    refiner: Refiner
    blurred: bool = False  # edges without fine detail
    black_bars: bool = False

    def __call__(self, drafts: Sequence[Draft]) -> list[Draft]:
        recipe = self.recipe
        edges = blurred_edges if self.blurred else canny_edges
        boxes = [letterbox(draft.mask, self.refiner.image_size, self.black_bars) for draft in drafts]
        masks = [box.mask(draft.mask) for box, draft in zip(boxes, drafts)]
        painted = [box.image(draft.picture) for box, draft in zip(boxes, drafts)]
        squares = self.refiner.refine(
            painted,
            [edges(box.image(draft.photo), mask) for box, draft, mask in zip(boxes, drafts, masks)],
            [on_grey(picture, mask, EXAMPLE_GREY) for picture, mask in zip(painted, masks)],
            [draft.job.sentence for draft in drafts],
            [derive_seed("refine", draft.seed) for draft in drafts],
            guidance_scale=recipe.refine_guidance_scale,
            num_inference_steps=recipe.refine_steps,
            ip_adapter_scale=recipe.ip_adapter_scale,
            controlnet_conditioning_scale=recipe.controlnet_conditioning_scale,
        )
        return [
            dataclasses.replace(draft, picture=box.back(square)) for draft, box, square in zip(drafts, boxes, squares)
        ]


@dataclasses.dataclass(frozen=True)
class TransferDetail:
    """Put the fine luma detail of the photo, or of the prior, back into the edit."""

    recipe: Recipe

    def __call__(self, drafts: Sequence[Draft]) -> list[Draft]:
        return [dataclasses.replace(draft, picture=self._detailed(draft)) for draft in drafts]

    def _detailed(self, draft: Draft) -> np.ndarray:
        recipe = self.recipe
        source = draft.photo if recipe.detail_source == "photo" else draft.prior
        area = draft.region if draft.job.attribute == "background" else edited_surface(draft, recipe)
        sigmas = (recipe.detail_sigma_edit * draft.scale, recipe.detail_sigma_source * draft.scale)
        return transfer_detail(draft.picture, source, area, recipe.detail, *sigmas)


@dataclasses.dataclass(frozen=True)
class Composite:
    """Lay the painted pixels over the ground, feathered inside the painted part; the rest is the ground, to the bit.

    A refined object goes into the untouched photo instead, without the ring that a dilation adds: what the refining
    model draws around the object is its own invention. Where there is a matte, the object covers a painted background
    and takes on painted colours in each pixel by its share.
    """

    recipe: Recipe

    def __call__(self, drafts: Sequence[Draft]) -> list[Draft]:
        return [dataclasses.replace(draft, picture=self._composed(draft)) for draft in drafts]

    def _composed(self, draft: Draft) -> np.ndarray:
        if self.recipe.refine:
            below, area = draft.photo, edited_surface(draft, self.recipe)
        else:
            below, area = draft.ground, draft.repaint
        if draft.matte and draft.job.attribute != "background":
            return composite(below, draft.picture, draft.matte.alpha * area)
        above = over(draft.matte, draft.picture) if draft.matte else draft.picture
        return composite(below, above, feather(area, self.recipe.mask_blur * draft.scale))
