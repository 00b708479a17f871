"""The region that an edit may change, and how much it changes its photo inside of it and outside."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np

from varireal.base.manifest import ImageRecord
from varireal.editing.matting import find_matte
from varireal.editing.pixels import edited_region, object_of
from varireal.errors import UserError

SSIM_SIGMA, SSIM_WINDOW = 1.5, 11  # of Wang et al. (2004)


@dataclasses.dataclass(frozen=True)
class RegionSettings:
    """How far the region reaches beyond the mask, in pixels of a square of side ``image_size`` that the photo fits."""

    dilation: float
    rim: float  # how far inside the mask's edge pixels may be partly background
    image_size: int | None  # None: the photo's own pixels
    known: bool  # false where the square is the checkpoint's own, whose side the manifest does not hold

    def lengths(self, mask: np.ndarray) -> tuple[float, float]:
        """Return dilation and rim in pixels of the photo that the mask, (H, W), belongs to."""
        scale = max(mask.shape) / self.image_size if self.image_size else 1.0
        return self.dilation * scale, self.rim * scale


def region_settings(edit: ImageRecord) -> RegionSettings:
    """Return the settings of an edit's region.

    Raises:
        UserError: its row holds no settings of an editor.
    """
    try:
        settings = json.loads(str(edit.settings))
        dilation, rim = (float(settings["recipe"][name]) for name in ("dilation", "rim"))
        painted = settings.get("inpaint")  # methods with a network
        size = settings.get("lengths_at") or (painted["image_size"] if painted else settings["image_size"])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"the settings of edit {edit.image_id} hold no region; make the edits anew") from error
    return RegionSettings(dilation, rim, size, known=not (painted and size is None and (dilation or rim)))


def region_of(edit: ImageRecord, mask: np.ndarray) -> np.ndarray | None:
    """Return what the edit may change, bool (H, W) like the mask, or None where that is not known.

    Raises:
        UserError: as for :func:`region_settings`.
    """
    settings = region_settings(edit)
    if not settings.known:
        return None
    return edited_region(str(edit.attribute), mask, *settings.lengths(mask))


def kept_share(edit: ImageRecord, photo: np.ndarray, mask: np.ndarray) -> np.ndarray | None:
    """Return which share of each pixel a background edit kept as object where it was laid by a matte, else None.

    Returns:
        float32 (H, W) in 0..1.

    Raises:
        UserError: as for :func:`region_settings`.
    """
    settings = region_settings(edit)
    if edit.attribute != "background" or not settings.rim or not settings.known:
        return None
    dilation, rim = settings.lengths(mask)
    return find_matte(photo, object_of(mask, dilation), rim).alpha


@dataclasses.dataclass(frozen=True)
class Change:
    """What an edit did to a photo; None where the region leaves no pixel to measure."""

    changed_outside: int  # pixels outside of the region that differ in any channel; an exact edit has none
    psnr_inside: float | None  # dB; infinite where nothing differs
    psnr_outside: float | None
    ssim_inside: float | None  # in [-1, 1]; 1 where nothing differs
    ssim_outside: float | None  # over the pixels whose whole window lies outside


def measure_change(photo: np.ndarray, edit: np.ndarray, region: np.ndarray) -> Change:
    """Compare an edit with its photo.

    Args:
        photo: uint8 RGB (H, W, 3), at least 6 pixels a side.
        edit: the same shape.
        region: bool (H, W), True where the edit may differ from the photo.

    Raises:
        ValueError: the shapes or kinds of the arrays do not fit.
    """
    if photo.shape != edit.shape or photo.shape[:2] != region.shape or photo.ndim != 3:
        raise ValueError(f"photo {photo.shape}, edit {edit.shape} and region {region.shape} do not belong together")
    if (photo.dtype, edit.dtype, region.dtype) != (np.uint8, np.uint8, np.bool_):
        raise ValueError(f"need uint8, uint8 and bool, got {photo.dtype}, {edit.dtype} and {region.dtype}")
    import cv2

    similarity = ssim_map(photo, edit)
    far = cv2.dilate(region.astype(np.uint8), np.ones((SSIM_WINDOW, SSIM_WINDOW), np.uint8)) == 0
    return Change(
        changed_outside=int((photo != edit).any(axis=2)[~region].sum()),
        psnr_inside=_psnr(photo, edit, region),
        psnr_outside=_psnr(photo, edit, ~region),
        ssim_inside=float(similarity[region].mean()) if region.any() else None,
        ssim_outside=float(similarity[far].mean()) if far.any() else None,
    )


def ssim_map(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the structural similarity around every pixel, float64 (H, W), the mean over the channels.

    OpenCV blurs here, as scikit-image's ``structural_similarity`` takes 1.6 to 3.7 times as long; away from
    the border they agree to 1e-14.

    Args:
        first: uint8 RGB (H, W, 3); windows at the border see the picture mirrored.
        second: the same shape.
    """
    x, y = first.astype(np.float64), second.astype(np.float64)
    mean_x, mean_y = _blur(x), _blur(y)
    spread = _blur(x * x) - mean_x**2 + _blur(y * y) - mean_y**2
    common = _blur(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    alike = (2 * mean_x * mean_y + c1) * (2 * common + c2) / ((mean_x**2 + mean_y**2 + c1) * (spread + c2))
    return alike.mean(axis=2)


def _blur(values: np.ndarray) -> np.ndarray:
    """Return the means under a Gaussian window around every pixel; one row after one column, so it is fast."""
    import cv2

    size = (SSIM_WINDOW, SSIM_WINDOW)
    return cv2.GaussianBlur(values, size, SSIM_SIGMA, sigmaY=SSIM_SIGMA, borderType=cv2.BORDER_REFLECT_101)


def _psnr(photo: np.ndarray, edit: np.ndarray, where: np.ndarray) -> float | None:
    """Return 10 log10(255² / mean squared error) over some pixels and all channels, in dB."""
    if not where.any():
        return None
    error = float(((photo[where].astype(np.float64) - edit[where]) ** 2).mean())
    return 10 * math.log10(255**2 / error) if error else math.inf
