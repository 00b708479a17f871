"""Photos of any shape on the square that a model works on, and back."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np


@dataclasses.dataclass(frozen=True)
class Letterbox:
    """A photo of ``height`` x ``width`` pixels, scaled to fit a square of side ``size`` and centred in it.

    The bars are filled with the mirrored photo: a model takes plain bars for a part of the picture.
    """

    height: int
    width: int
    size: int

    @property
    def scale(self) -> float:
        """Return the photo's pixels per pixel of the square."""
        return max(self.height, self.width) / self.size

    @property
    def _inner(self) -> tuple[int, int, int, int]:
        """Return the top, the left, the height and the width of the photo within the square."""
        height = max(1, round(self.height / self.scale))
        width = max(1, round(self.width / self.scale))
        return (self.size - height) // 2, (self.size - width) // 2, height, width

    def image(self, picture: np.ndarray) -> np.ndarray:
        """Return the picture, uint8 (height, width, 3), on the square: uint8 (size, size, 3)."""
        return self._pad(_resize(picture, *self._inner[2:]), cv2.BORDER_REFLECT)

    def mask(self, mask: np.ndarray) -> np.ndarray:
        """Return the mask, bool (height, width), on the square: true where half a pixel or more was; bars false."""
        share = _resize(mask.astype(np.float32), *self._inner[2:])
        return self._pad((share >= 0.5).astype(np.uint8), cv2.BORDER_CONSTANT) > 0

    def back(self, square: np.ndarray) -> np.ndarray:
        """Return a picture, uint8 (size, size, 3), cut and scaled to the photo's size: uint8 (height, width, 3)."""
        top, left, height, width = self._inner
        return _resize(square[top : top + height, left : left + width], self.height, self.width)

    def _pad(self, inner: np.ndarray, border: int) -> np.ndarray:
        top, left, height, width = self._inner
        bottom, right = self.size - top - height, self.size - left - width
        return cv2.copyMakeBorder(inner, top, bottom, left, right, border)


def _resize(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return the picture at the asked size: pixel means when it shrinks, cubic when it grows, itself when it fits."""
    if picture.shape[:2] == (height, width):
        return picture
    shrinks = height * width < picture.shape[0] * picture.shape[1]
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
