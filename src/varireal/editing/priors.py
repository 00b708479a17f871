"""Priors: the cheap first guess of an edit, made by pixel operations.

Every function returns a picture of the photo's size that is the photo itself outside the edited region.
"""

from __future__ import annotations

import numpy as np

from varireal.editing.pixels import blend, composite, feather, outline_colours, quantise, resize, shading

PLACE_ZOOM = 0.85  # least share of the picture of a place that a crop keeps, per side


def cover_crop(
    picture: np.ndarray,
    height: int,
    width: int,
    rng: np.random.Generator,
    least_share: float,
    largest_share: float = 1.0,
    mirror: bool = True,
    reach: float = 1.0,
) -> np.ndarray:
    """Return a random part of the picture that fills ``height`` x ``width`` without distortion, half of them mirrored.

    The part has between ``least_share`` and ``largest_share`` of the largest side that fits. Without ``mirror`` the
    same parts come as they are. It lies anywhere, or, with a ``reach`` below 1, that far around the middle.
    """
    full_height, full_width = picture.shape[:2]
    fit = min(full_height / height, full_width / width) * rng.uniform(least_share, largest_share)
    part_height = min(full_height, max(1, round(height * fit)))
    part_width = min(full_width, max(1, round(width * fit)))
    top, left = (_place(room, reach, rng) for room in (full_height - part_height, full_width - part_width))
    part = picture[top : top + part_height, left : left + part_width]
    if rng.random() < 0.5 and mirror:
        part = part[:, ::-1]
    return resize(np.ascontiguousarray(part), height, width)


def _place(room: int, reach: float, rng: np.random.Generator) -> int:
    """Return where a part begins that has ``room`` pixels to move."""
    least = round(room * (1 - reach) / 2)
    return least + int(rng.integers(room - 2 * least + 1))


def background_prior(photo: np.ndarray, kept: np.ndarray, place: np.ndarray, softness: float) -> np.ndarray:
    """Return the place with the kept object of the photo over it.

    Just outside the object the place fades in over ``softness`` pixels, out of the object's own colours rather
    than the photo's, where the old background would show as a halo.
    """
    weight = feather(~kept, softness)
    foreground = outline_colours(photo, kept, max(softness, 0.5))
    return composite(photo, quantise(blend(foreground, place, weight)), (~kept).astype(np.float32))


def surface_prior(
    photo: np.ndarray, mask: np.ndarray, surface: np.ndarray, alpha: float, keep_shading: bool, softness: float
) -> np.ndarray:
    """Return the photo with the object's surface replaced: (1 - alpha) photo + alpha surface, times its shading.

    ``surface`` is one RGB colour (3,) or a picture of the photo's size.
    """
    values = np.broadcast_to(np.asarray(surface, np.float32), photo.shape)
    if keep_shading:
        values = values * shading(photo, mask)[..., None]
    return composite(photo, np.clip(values, 0, 255), alpha * feather(mask, softness))
