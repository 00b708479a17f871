"""A user's photo, as it will be stored: upright RGB, within the size bounds, the original bytes where possible."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from varireal.datasets.base import PhotoFiles
from varireal.errors import UserError
from varireal.io import encode_png, read_image

if TYPE_CHECKING:
    import numpy as np

EXIF_ORIENTATION = 0x0112
MASK_THRESHOLD = 127


def load_photo_files(path: Path, mask_path: Path | None, min_side: int, max_side: int | None) -> PhotoFiles:
    """Read a photo and its mask, check them, and scale both down to ``max_side`` (longer side, pixels) if larger.

    Raises:
        UserError: a file is unreadable, the photo is smaller than ``min_side``, or the mask does not fit.
    """
    photo = read_image(path)
    height, width = photo.shape[:2]
    mask = None if mask_path is None else _read_object_mask(mask_path, path, (height, width))
    factor = 1.0 if max_side is None else min(1.0, max_side / max(height, width))
    target = (max(1, round(width * factor)), max(1, round(height * factor)))
    if min(target) < min_side:
        scaled = f", {target[0]}x{target[1]} when scaled to max_side {max_side}" if factor < 1 else ""
        raise UserError(
            f"the photo {path} is {width}x{height} pixels{scaled}, below dataset.min_side {min_side}; remove it, lower "
            "the bound, or set dataset.on_bad_image: skip"
        )
    suffix = _suffix_if_kept(path) if factor == 1 else None
    if suffix is None:
        data, suffix = encode_png(_scaled(photo, target, "LANCZOS")), ".png"
    else:
        data = path.read_bytes()
    if mask is None:
        return PhotoFiles(suffix, data, *target, None)
    return PhotoFiles(
        suffix, data, *target, encode_png(((_scaled(mask, target, "BOX") > MASK_THRESHOLD) * 255).astype("uint8"))
    )


def _suffix_if_kept(path: Path) -> str | None:
    """Return the suffix of a file that every reader shows alike and so is kept as it is, else None."""
    from PIL import Image

    with Image.open(path) as picture:
        turned = picture.getexif().get(EXIF_ORIENTATION, 1) != 1
        if picture.mode != "RGB" or "transparency" in picture.info or turned:
            return None
        return {"JPEG": ".jpg", "PNG": ".png"}.get(picture.format or "")


def _scaled(pixels: np.ndarray, target: tuple[int, int], method: str) -> np.ndarray:
    """Return uint8 pixels at the target (width, height)."""
    import numpy as np
    from PIL import Image

    if (pixels.shape[1], pixels.shape[0]) == target:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize(target, Image.Resampling[method]))


def _read_object_mask(path: Path, photo_path: Path, size: tuple[int, int]) -> np.ndarray:
    """Return a mask's grey values, uint8 (H, W).

    Raises:
        UserError: it is unreadable, transparent, coloured, of another size than the upright photo, or made of label
            numbers instead of black and white.
    """
    from PIL import Image

    mask = read_image(path)
    with Image.open(path) as opened:
        transparent = "A" in opened.getbands() or "transparency" in opened.info
    if transparent or (mask != mask[..., :1]).any():
        raise UserError(f"the mask {path} is coloured or transparent; save it as greyscale, 255 on the object, else 0")
    if mask.shape[:2] != size:
        raise UserError(
            f"the mask {path} is {mask.shape[1]}x{mask.shape[0]} pixels, but its photo {photo_path} is "
            f"{size[1]}x{size[0]} (upright); make them the same size"
        )
    brightest = int(mask.max())
    if 0 < brightest <= MASK_THRESHOLD:
        raise UserError(
            f"the mask {path} has no value above {brightest}, so it holds label numbers or is too dark; save it with "
            "255 on the object and 0 elsewhere"
        )
    return mask[..., 0]
