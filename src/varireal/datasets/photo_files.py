"""A user's photo, as it will be stored: upright RGB, within the size bounds, the original bytes where possible."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from varireal.base.file_kinds import is_utf8, shown
from varireal.base.files import encode_png, read_image
from varireal.base.manifest import Split
from varireal.base.picture_errors import named_picture_errors
from varireal.datasets.base import PhotoFiles
from varireal.datasets.mask_files import (
    EXIF_ORIENTATION,
    MASK_THRESHOLD,
    fitted,
    object_of,
    object_of_trimap,
    read_raw_mask,
    several_pages,
)
from varireal.errors import UserError

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class FilePhoto:
    """A photo in a folder, with its split decided."""

    image_id: str
    split: Split
    class_index: int
    path: Path
    mask_path: Path | None
    min_side: int
    max_side: int | None
    crop_bottom: int = 0
    trimap: bool = False
    mask_labels: tuple[int, ...] | None = None

    @property
    def source(self) -> str:
        return shown(self.path)

    def load(self) -> PhotoFiles:
        """Read, check and convert the photo and its mask."""
        if not is_utf8(str(self.path)):
            raise UserError(
                f"the photo {self.source} has a name that is no UTF-8; rename it (convmv -f latin1 -t utf8), or set "
                "dataset.on_bad_image: skip"
            )
        return load_photo_files(
            self.path, self.mask_path, self.min_side, self.max_side, self.crop_bottom, self.trimap, self.mask_labels
        )


def load_photo_files(
    path: Path,
    mask_path: Path | None,
    min_side: int,
    max_side: int | None,
    crop_bottom: int = 0,
    trimap: bool = False,
    mask_labels: tuple[int, ...] | None = None,
) -> PhotoFiles:
    """Read a photo and its mask, check them, and scale both down to ``max_side`` (longer side, pixels) if larger.

    Args:
        crop_bottom: rows of pixels that are cut off the bottom of both, before anything else.
        trimap: the mask is a trimap with the values 1 object, 2 background and 3 border; the border counts as object.
        mask_labels: the numbers in the mask that mean the object; None: it is black and white.

    Raises:
        UserError: a file is unreadable, the photo is smaller than ``min_side``, or the mask does not fit.
    """
    photo = read_image(path)
    mask, certain = None, True
    if mask_path is not None:
        raw = read_raw_mask(mask_path)
        mask = object_of_trimap(raw) if trimap else object_of(raw, mask_labels)
        mask, certain = fitted(mask, raw.turned, mask_path, path, photo.shape[:2], _orientation(path))
    photo, mask = _without_bottom(photo, crop_bottom), None if mask is None else _without_bottom(mask, crop_bottom)
    height, width = photo.shape[:2]
    factor = 1.0 if max_side is None else min(1.0, max_side / max(height, width))
    target = (max(1, round(width * factor)), max(1, round(height * factor)))
    if min(target) < min_side:
        scaled = f", {target[0]}x{target[1]} when scaled to max_side {max_side}" if factor < 1 else ""
        raise UserError(
            f"the photo {path} is {width}x{height} pixels{scaled}, below dataset.min_side {min_side}; remove it, lower "
            "the bound, or set dataset.on_bad_image: skip"
        )
    suffix = _suffix_if_kept(path) if factor == 1 and not crop_bottom else None
    if suffix is None:
        data, suffix = encode_png(_scaled(photo, target, "LANCZOS")), ".png"
    else:
        data = path.read_bytes()
    several = _holds_several(path)
    if mask is None:
        return PhotoFiles(suffix, data, *target, None, of_several=several)
    stored = encode_png(((_scaled(mask, target, "BOX") > MASK_THRESHOLD) * 255).astype("uint8"))
    return PhotoFiles(suffix, data, *target, stored, mask_turn_unknown=not certain, of_several=several)


def _holds_several(path: Path) -> bool:
    """Tell whether a file holds several pages or frames of one size, as films do; previews of a photo are smaller."""
    from PIL import Image

    with named_picture_errors(shown(path)), Image.open(path) as picture:
        return several_pages(picture) > 1


def _orientation(path: Path) -> int:
    """Return how EXIF says a photo's file is turned, 1 to 8; 1 where it says nothing or nonsense."""
    from PIL import Image

    with Image.open(path) as picture:
        orientation = picture.getexif().get(EXIF_ORIENTATION, 1)
    return orientation if orientation in range(1, 9) else 1


def _suffix_if_kept(path: Path) -> Literal[".jpg", ".png"] | None:
    """Return the suffix of a file that every reader shows alike and so is kept as it is, else None."""
    from PIL import Image

    with Image.open(path) as picture:
        turned = picture.getexif().get(EXIF_ORIENTATION, 1) != 1
        if picture.mode != "RGB" or "transparency" in picture.info or turned:
            return None
        kept: dict[str | None, Literal[".jpg", ".png"]] = {"JPEG": ".jpg", "PNG": ".png"}
        return kept.get(picture.format)


def _scaled(pixels: np.ndarray, target: tuple[int, int], method: str) -> np.ndarray:
    """Return uint8 pixels at the target (width, height)."""
    import numpy as np
    from PIL import Image

    if (pixels.shape[1], pixels.shape[0]) == target:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize(target, Image.Resampling[method]))


def _without_bottom(pixels: np.ndarray, rows: int) -> np.ndarray:
    return pixels[: max(1, len(pixels) - rows)]
