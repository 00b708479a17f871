"""Pixel operations of the edits, without any network: pure functions over arrays, and photos on a model's square.

Pictures are uint8 RGB (H, W, 3) in 0..255, masks bool (H, W), weights float32 (H, W) in 0..1, lengths in pixels.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
from scipy.special import erf

LUMA = np.array((0.299, 0.587, 0.114), np.float32)  # ITU-R BT.601, as PIL's and OpenCV's grey
BRIGHT_PERCENTILE = 75  # the object's lit surface, below reflections; a higher one darkens two-tone objects
SHADE_RANGE = (0.12, 1.2)  # relative brightness kept in shadows and reflections
DETAIL_RANGE = (0.25, 1.8)  # how far fine detail may darken or brighten a pixel
DETAIL_FLOOR = 12.0  # added to luma before division, so that noise in the dark is not amplified
CANNY_LOW = 0.7  # times the median; weaker edges are none
CANNY_HIGH = 255.0  # stronger edges are ones, those between only where they touch such
SHARPEN_SIGMA = 1.0  # of the blurred copy whose difference sharpens
THIN_SHARE = 0.6  # of the depth nearby, from which the middle of something thin is object for sure
_TOUCH = 1e-3  # lengths below this are nothing: OpenCV computes distances in float32


def quantise(values: np.ndarray) -> np.ndarray:
    """Return values in 0..255 as uint8, rounded to the nearest and clipped."""
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def luma(picture: np.ndarray) -> np.ndarray:
    """Return the luma of RGB values (H, W, 3) as float32 (H, W), on the same scale."""
    return picture.astype(np.float32) @ LUMA


def difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return how far apart two sRGB pictures, uint8 (H, W, 3), are to the eye in each pixel: float32 (H, W).

    It is the distance in CIELAB (D65) of 1976; about 2 can be told apart, 10 is another colour at a glance.
    """
    lab = [cv2.cvtColor(each.astype(np.float32) / 255, cv2.COLOR_RGB2LAB) for each in (first, second)]
    return np.linalg.norm(lab[0] - lab[1], axis=2)


def dilate(mask: np.ndarray, radius: float) -> np.ndarray:
    """Return the pixels whose centre lies within ``radius`` of the centre of a true pixel (a round dilation)."""
    if radius <= 0 or not mask.any():
        return mask.copy()
    distance = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return distance <= radius + _TOUCH


def dilate_by_square(mask: np.ndarray, side: float) -> np.ndarray:
    """Return the mask grown by a square of that side: by half of it in every direction, corners included."""
    pixels = round(side)
    if pixels <= 1:
        return mask.copy()
    return cv2.dilate(mask.astype(np.uint8), np.ones((pixels, pixels), np.uint8)) > 0


def shrink(mask: np.ndarray, radius: float) -> np.ndarray:
    """Return the mask without the pixels near its edge, after gaps of up to twice the radius within it were closed.

    An object too thin to shrink comes back as it was.
    """
    margin = int(np.ceil(2 * radius)) + 1
    beyond = np.pad(mask, margin, mode="edge")  # the border of the picture is no edge of the object
    smaller = ~dilate(~dilate(beyond, radius), 2 * radius)[margin:-margin, margin:-margin]
    return smaller if smaller.any() else mask.copy()


def inner_part(mask: np.ndarray, rim: float) -> np.ndarray:
    """Return the pixels of a mask that lie deeper than ``rim`` within it.

    Where it is too thin for that, as at tails and legs, its middle is kept: what is deeper than THIN_SHARE of the
    greatest depth nearby. The border of the picture is no edge.
    """
    margin = int(np.ceil(rim)) + 1
    beyond = np.pad(mask, margin, mode="edge")
    if rim <= 0 or beyond.all():
        return mask.copy()
    depth = cv2.distanceTransform(beyond.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    near = cv2.dilate(depth, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * margin - 1, 2 * margin - 1)))
    inner = (depth > np.minimum(rim, THIN_SHARE * near)) & beyond
    return inner[margin:-margin, margin:-margin]


def object_of(mask: np.ndarray, dilation: float) -> np.ndarray:
    """Return the object, grown or, by a negative number, shrunk."""
    return dilate(mask, dilation) if dilation >= 0 else shrink(mask, -dilation)


def edited_region(attribute: str, mask: np.ndarray, dilation: float, rim: float = 0.0) -> np.ndarray:
    """Return what an edit may change: all but the grown (or shrunk) object for a background, else that object.

    With a ``rim`` the pixels near the object's edge, which are partly object, may change for either.
    """
    grown = object_of(mask, dilation)
    if attribute == "background":
        return ~inner_part(grown, rim)
    return dilate(grown, rim / 2)


def feather(region: np.ndarray, sigma: float) -> np.ndarray:
    """Return the weight of an edit: 0 outside ``region``, rising inside with the distance from its edge.

    At distance d from the edge the weight is erf(d / (sqrt(2) sigma)), the inner half of a blurred step, so that
    nothing outside the region changes. The edge runs halfway between the pixels inside and outside; the border of
    the picture is no edge. A ``sigma`` of 0, or of too little to show, gives a hard edge.
    """
    if sigma < _TOUCH:
        return region.astype(np.float32)
    distance = cv2.distanceTransform(region.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    weight = erf(np.maximum(distance - 0.5, 0) / (np.sqrt(2) * sigma))
    return np.where(region, weight, 0).astype(np.float32)


def blend(below: np.ndarray, above: np.ndarray, weight: np.ndarray | float) -> np.ndarray:
    """Return ``below`` (1 - weight) + ``above`` weight as float32 (H, W, 3); the weight is (H, W) or one number."""
    share = np.asarray(weight, np.float32)
    share = share[..., None] if share.ndim else share
    return below.astype(np.float32) * (1 - share) + above.astype(np.float32) * share


def composite(below: np.ndarray, above: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the uint8 blend of two pictures; where the weight is 0 the pixels are those of ``below``, to the bit."""
    return np.where((weight > 0)[..., None], quantise(blend(below, above, weight)), below)


def shading(photo: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the brightness of each pixel relative to the object's lit surface, float32 (H, W) within SHADE_RANGE.

    The lit surface is the BRIGHT_PERCENTILE of the object's luma; a colour times this keeps form and windows.
    """
    values = luma(photo)
    bright = max(float(np.percentile(values[mask], BRIGHT_PERCENTILE)), 1.0)
    return np.clip(values / bright, *SHADE_RANGE).astype(np.float32)


def low_pass(values: np.ndarray, area: np.ndarray, sigma: float) -> np.ndarray:
    """Return a Gaussian mean, float32, of (H, W) or (H, W, C) values that sees nothing but the pixels of ``area``.

    Each result is the weighted mean over the area around it (a normalised convolution); far from the area, where
    no weight is left, it is 0. ``sigma`` 0 returns the values of the area.
    """
    flat = values.astype(np.float32).reshape(*values.shape[:2], -1)
    weight = area.astype(np.float32)
    total = flat * weight[..., None]
    if sigma > 0:
        total = _blur(total, sigma).reshape(flat.shape)
        weight = _blur(weight, sigma)
    return (total / np.maximum(weight, 1e-6)[..., None]).reshape(values.shape)


def transfer_detail(
    edit: np.ndarray, source: np.ndarray, area: np.ndarray, share: float, sigma_edit: float, sigma_source: float
) -> np.ndarray:
    """Return the edit, uint8, with the fine luma detail of ``source`` put back inside ``area``.

    There the result is (1 - share) edit + share lowpass(edit) (L + f) / (lowpass(L) + f), L the luma of the source,
    f DETAIL_FLOOR, the ratio clipped to DETAIL_RANGE: the colours of the edit with the structure of the source.
    Outside the area the result is (1 - share) edit + share source.
    """
    if share <= 0:
        return edit
    fine = luma(source)
    ratio = (fine + DETAIL_FLOOR) / (low_pass(fine, area, sigma_source) + DETAIL_FLOOR)
    detailed = low_pass(edit, area, sigma_edit) * np.clip(ratio, *DETAIL_RANGE)[..., None]
    return quantise(blend(edit, np.where(area[..., None], detailed, source), share))


def sharpened(picture: np.ndarray, amount: float) -> np.ndarray:
    """Return the uint8 picture plus ``amount`` times its difference from a copy blurred by SHARPEN_SIGMA."""
    if amount <= 0:
        return picture
    values = picture.astype(np.float32)
    return quantise(values + amount * (values - cv2.GaussianBlur(values, (0, 0), SHARPEN_SIGMA)))


def outline_colours(photo: np.ndarray, area: np.ndarray, sigma: float) -> np.ndarray:
    """Return the photo with the colours of ``area`` carried beyond its edge, float32 (H, W, 3).

    Pixels of the area keep their colour, the others take a Gaussian mean of the area near them; it is meant for
    pixels within a few sigma of the area.
    """
    return np.where(area[..., None], photo.astype(np.float32), low_pass(photo, area, sigma))


def on_grey(picture: np.ndarray, mask: np.ndarray, level: int) -> np.ndarray:
    """Return the object of a picture, uint8 (H, W, 3), on a plain ground of that grey level."""
    return np.where(mask[..., None], picture, np.uint8(level))


def canny_edges(photo: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the Canny edges of the object on white, bool (H, W), as the study guides its refiner.

    Edges are those of the sharp picture, where its strongest channel has one. The thresholds of the gradient (the sum
    of the absolute Sobel derivatives) are CANNY_LOW times the median of a copy, the white included, that means over
    5 x 5 pixels blur, rounded down, and CANNY_HIGH.
    """
    shown = on_grey(photo, mask, 255)
    low = int(CANNY_LOW * float(np.median(cv2.blur(shown, (5, 5)))))
    return cv2.Canny(shown, low, CANNY_HIGH) > 0


def blurred_edges(photo: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the Canny edges of the object on white, bool (H, W), without what is finer than a few pixels.

    As :func:`canny_edges`, but of the grey picture blurred by a binomial kernel of 5 x 5, whose median decides too.
    """
    grey = cv2.cvtColor(on_grey(photo, mask, 255), cv2.COLOR_RGB2GRAY)
    smooth = cv2.GaussianBlur(grey, (5, 5), 0)
    return cv2.Canny(smooth, CANNY_LOW * float(np.median(smooth)), CANNY_HIGH) > 0


def resize(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return the picture at the asked size: pixel means when it shrinks, cubic when it grows, itself when it fits."""
    if picture.shape[:2] == (height, width):
        return picture
    shrinks = height * width < picture.shape[0] * picture.shape[1]
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)


@dataclasses.dataclass(frozen=True)
class Letterbox:
    """Lays a photo of ``height`` x ``width`` pixels on a square of side ``size``, scaled to fit and centred.

    The bars are filled with the mirrored photo: a model takes plain bars for a part of the picture. Where they shall
    be ``black``, the photo lies at the top left, as in the study.
    """

    height: int
    width: int
    size: int
    black: bool = False

    @property
    def scale(self) -> float:
        """Return the photo's pixels per pixel of the square."""
        return max(self.height, self.width) / self.size

    @property
    def _inner(self) -> tuple[int, int, int, int]:
        """Return the top, the left, the height and the width of the photo within the square."""
        height = max(1, round(self.height / self.scale))
        width = max(1, round(self.width / self.scale))
        if self.black:
            return 0, 0, height, width
        return (self.size - height) // 2, (self.size - width) // 2, height, width

    def image(self, picture: np.ndarray) -> np.ndarray:
        """Return the picture, uint8 (height, width, 3), on the square: uint8 (size, size, 3)."""
        inner = resize(picture, *self._inner[2:])
        return self._pad(inner, cv2.BORDER_CONSTANT if self.black else cv2.BORDER_REFLECT)

    def mask(self, mask: np.ndarray, bars: bool = False) -> np.ndarray:
        """Return the mask, bool (height, width), on the square: true where half a pixel or more was.

        Args:
            bars: what it says of the bars.
        """
        share = resize(mask.astype(np.float32), *self._inner[2:])
        return self._pad((share >= 0.5).astype(np.uint8), cv2.BORDER_CONSTANT, int(bars)) > 0

    def back(self, square: np.ndarray) -> np.ndarray:
        """Return a picture, uint8 (size, size, 3), cut and scaled to the photo's size: uint8 (height, width, 3)."""
        top, left, height, width = self._inner
        return resize(square[top : top + height, left : left + width], self.height, self.width)

    def _pad(self, inner: np.ndarray, border: int, value: int = 0) -> np.ndarray:
        top, left, height, width = self._inner
        bottom, right = self.size - top - height, self.size - left - width
        return cv2.copyMakeBorder(inner, top, bottom, left, right, border, value=(value,) * 3)


def _blur(values: np.ndarray, sigma: float) -> np.ndarray:
    """Return a Gaussian blur in which everything beyond the picture counts as 0."""
    return cv2.GaussianBlur(values, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
