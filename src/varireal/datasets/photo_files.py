"""A user's photo, as it will be stored: upright RGB, within the size bounds, the original bytes where possible."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from varireal.base.files import encode_png, read_image
from varireal.base.manifest import Split
from varireal.datasets.base import PhotoFiles
from varireal.errors import UserError

if TYPE_CHECKING:
    import numpy as np

EXIF_ORIENTATION = 0x0112
MASK_THRESHOLD = 127
TRIMAP_BACKGROUND = 2  # of 1 object, 2 background and 3 border, as in Oxford-IIIT Pet


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

    @property
    def source(self) -> str:
        return str(self.path)

    def load(self) -> PhotoFiles:
        """Read, check and convert the photo and its mask."""
        return load_photo_files(self.path, self.mask_path, self.min_side, self.max_side, self.crop_bottom, self.trimap)


def load_photo_files(
    path: Path,
    mask_path: Path | None,
    min_side: int,
    max_side: int | None,
    crop_bottom: int = 0,
    trimap: bool = False,
) -> PhotoFiles:
    """Read a photo and its mask, check them, and scale both down to ``max_side`` (longer side, pixels) if larger.

    Args:
        crop_bottom: rows of pixels that are cut off the bottom of both, before anything else.
        trimap: the mask is a trimap with the values 1 object, 2 background and 3 border; the border counts as object.

    Raises:
        UserError: a file is unreadable, the photo is smaller than ``min_side``, or the mask does not fit.
    """
    photo = read_image(path)
    read = _read_trimap if trimap else _read_object_mask
    mask = None if mask_path is None else read(mask_path, path, photo.shape[:2])
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
    if mask is None:
        return PhotoFiles(suffix, data, *target, None)
    return PhotoFiles(
        suffix, data, *target, encode_png(((_scaled(mask, target, "BOX") > MASK_THRESHOLD) * 255).astype("uint8"))
    )


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


def _read_object_mask(path: Path, photo_path: Path, size: tuple[int, int]) -> np.ndarray:
    """Return a mask's grey values, uint8 (H, W).

    Raises:
        UserError: as :func:`_read_grey`, or it is made of label numbers instead of black and white.
    """
    mask = _read_grey(path, photo_path, size, "255 on the object, else 0")
    brightest = int(mask.max())
    if 0 < brightest <= MASK_THRESHOLD:
        raise UserError(
            f"the mask {path} has no value above {brightest}, so it holds label numbers or is too dark; save it with "
            "255 on the object and 0 elsewhere"
        )
    return mask


def _read_trimap(path: Path, photo_path: Path, size: tuple[int, int]) -> np.ndarray:
    """Return the object of a trimap, its border included: uint8 (H, W), 255 and 0.

    Raises:
        UserError: as :func:`_read_grey`, or it has other values than 1, 2 and 3.
    """
    import numpy as np

    trimap = _read_grey(path, photo_path, size, "1 on the object, 2 on the background, 3 between")
    if others := sorted(set(np.unique(trimap).tolist()) - {1, 2, 3}):
        raise UserError(
            f"the trimap {path} has the value {others[0]}, allowed are 1 object, 2 background, 3 border; get it again"
        )
    return (trimap != TRIMAP_BACKGROUND).astype(np.uint8) * 255


def _read_grey(path: Path, photo_path: Path, size: tuple[int, int], values: str) -> np.ndarray:
    """Return the grey values of a mask, uint8 (H, W).

    Args:
        values: what they should be, for the message.

    Raises:
        UserError: it is unreadable, transparent, coloured, or of another size than the upright photo.
    """
    from PIL import Image

    mask = read_image(path)
    with Image.open(path) as opened:
        transparent = "A" in opened.getbands() or "transparency" in opened.info
    if transparent or (mask != mask[..., :1]).any():
        raise UserError(f"the mask {path} is coloured or transparent; save it as greyscale, {values}")
    if mask.shape[:2] != size:
        raise UserError(
            f"the mask {path} is {mask.shape[1]}x{mask.shape[0]} pixels, but its photo {photo_path} is "
            f"{size[1]}x{size[0]} (upright); make them the same size"
        )
    return mask[..., 0]
