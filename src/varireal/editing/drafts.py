"""Drafts: the pictures of an attempt on their way through the editor, and which of their pixels may change."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from varireal.base.files import read_image, read_mask
from varireal.base.manifest import ImageRecord
from varireal.config import Recipe
from varireal.editing.jobs import EditJob
from varireal.editing.matting import Matte, find_matte
from varireal.editing.pixels import Letterbox, dilate, edited_region, object_of


@dataclasses.dataclass(frozen=True)
class Draft:
    """Holds an attempt's pictures on their way through the editor.

    They are uint8 (H, W, 3) and masks bool (H, W), all of the photo's own size.
    """

    job: EditJob
    seed: int  # of this attempt
    photo: np.ndarray
    mask: np.ndarray  # the object
    region: np.ndarray  # what may differ from the photo
    repaint: np.ndarray  # the part of the region that the inpainting model paints
    scale: float  # the photo's pixels per pixel of the recipe's lengths
    matte: Matte | None  # what of each pixel is the object; None: as the mask says
    prior: np.ndarray  # what the inpainting model begins with
    ground: np.ndarray  # what its pixels are laid over: the prior, without the ring of old background round an object
    picture: np.ndarray  # what the last step made
    measured: Mapping[str, float | None] = dataclasses.field(default_factory=dict)  # what a step found on its way


def edited_surface(draft: Draft, recipe: Recipe) -> np.ndarray:
    """Return the pixels that get a new colour or material: the object, without the ring that a dilation adds."""
    return draft.mask if recipe.dilation >= 0 and not draft.matte else draft.region


def seam(region: np.ndarray, width: float) -> np.ndarray:
    """Return the band of the region within ``width`` pixels of its edge."""
    return region & dilate(~region, width)


def photo_scale(mask: np.ndarray, lengths_at: int | None) -> float:
    """Return a photo's pixels per pixel of a recipe's lengths; None: they are the photo's own."""
    return letterbox(mask, lengths_at).scale if lengths_at else 1.0


def letterbox(mask: np.ndarray, size: int, black: bool = False) -> Letterbox:
    """Return how a photo, given by its mask, lies on a square of that size."""
    height, width = mask.shape
    return Letterbox(height, width, size, black)


def read_photo(photo: ImageRecord) -> tuple[np.ndarray, np.ndarray]:
    """Return a photo, uint8 (H, W, 3), and the mask of its object, bool (H, W).

    Raises:
        UserError: one of them cannot be read.
    """
    return read_image(Path(photo.path)), read_mask(Path(str(photo.mask_path)))


def lay_out(
    job: EditJob,
    seed: int,
    recipe: Recipe,
    lengths_at: int | None,
    look: Callable[[ImageRecord, Recipe, int | None], tuple[np.ndarray, np.ndarray, Matte | None]] | None = None,
) -> Draft:
    """Return the draft of an attempt before its first step: the photo, and which of its pixels may change.

    The recipe's lengths are pixels of a square of side ``lengths_at`` that the photo fits, or the photo's own.

    Args:
        look: :func:`look_at`, or one that remembers.

    Raises:
        UserError: as for :func:`read_photo`.
    """
    photo, mask, matte = (look or look_at)(job.photo, recipe, lengths_at)
    scale = photo_scale(mask, lengths_at)
    region = edited_region(job.attribute, mask, recipe.dilation * scale, recipe.rim * scale)
    repaint = seam(region, recipe.seam_width * scale) if recipe.region == "seam" else region
    return Draft(job, seed, photo, mask, region, repaint, scale, matte, prior=photo, ground=photo, picture=photo)


def look_at(photo: ImageRecord, recipe: Recipe, lengths_at: int | None) -> tuple[np.ndarray, np.ndarray, Matte | None]:
    """Return a photo, the mask of its object and, where the recipe has a rim, the matte.

    Raises:
        UserError: as for :func:`read_photo`.
    """
    pixels, mask = read_photo(photo)
    if not recipe.rim:
        return pixels, mask, None
    scale = photo_scale(mask, lengths_at)
    return pixels, mask, find_matte(pixels, object_of(mask, recipe.dilation * scale), recipe.rim * scale)
