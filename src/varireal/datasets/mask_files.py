"""A mask's file as grey values, judged by what stands in it: depth, label numbers, and the turn of its photo."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from varireal.base.file_kinds import shown
from varireal.base.picture_errors import named_picture_errors
from varireal.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from PIL.ImageFile import ImageFile

EXIF_ORIENTATION = 0x0112
MASK_THRESHOLD = 127  # grey values above it belong to the object
TRIMAP_BACKGROUND = 2  # of 1 object, 2 background and 3 border, as in Oxford-IIIT Pet
WHITE = 0.94  # share of the largest possible value from which on a mask's brightest value is white
VALUES_SHOWN = 8
LOSSY = frozenset({"JPEG", "MPO", "WEBP", "AVIF", "JPEG2000"})  # their rims have values of all kinds
NEARLY_GREY = 12  # the most that lossy files set a grey pixel's channels apart: WebP does at low qualities
MOST_LEVELS = 16  # values between black and white of a mask that may be stretched label numbers; a soft rim has more
FLAT = 0.1  # share of a mask's object whose pixels have a value in between that their neighbours have too
VOTE = 51  # 255 / 5: masks of Caltech-UCSD Birds hold how many of five people saw the object
KEPT = "save it with 8 bits, 255 on the object and 0 elsewhere, or name the object's numbers in dataset.mask_labels"


@dataclasses.dataclass(frozen=True)
class RawMask:
    """What stands in a mask's file."""

    path: Path
    values: np.ndarray  # (H, W): grey values, or indexes of a palette
    brightest: int  # the largest value that its depth can hold
    grey: np.ndarray | None  # (H, W), the grey that a palette shows; None: it shows colours
    turned: bool  # it carries a turn of its own (EXIF), which is applied
    lossy: bool

    @property
    def told(self) -> str:
        """Return its values in words: ``"0, 1, 255"``."""
        values = distinct(self.values).tolist()
        if len(values) > VALUES_SHOWN:
            return f"{len(values)} values from {values[0]:g} to {values[-1]:g}"
        return ", ".join(f"{value:g}" for value in values)


def distinct(values: np.ndarray) -> np.ndarray:
    """Return the different values of an array, sorted."""
    import numpy as np

    if values.dtype in (np.uint8, np.uint16):  # counting is far quicker than sorting millions
        return np.flatnonzero(np.bincount(values.ravel()))
    return np.unique(values)


def read_raw_mask(path: Path) -> RawMask:
    """Read a mask as it stands in its file.

    Raises:
        UserError: it cannot be read, or is coloured or transparent.
    """
    import numpy as np
    from PIL import Image, ImageOps

    with named_picture_errors(shown(path)), Image.open(path) as opened:
        turned = opened.getexif().get(EXIF_ORIENTATION, 1) != 1
        lossy = opened.format in LOSSY and not _is_lossless_webp(path)
        if (pages := several_pages(opened)) > 1:  # nothing says which is the mask
            raise UserError(f"the mask {shown(path)} holds {pages} pages or frames; save the one that is meant alone")
        transparent = "A" in opened.getbands() or "transparency" in opened.info
        picture = ImageOps.exif_transpose(opened)
        if picture.mode in ("LA", "RGBA") and picture.getchannel("A").getextrema() == (255, 255):
            picture, transparent = picture.convert(picture.mode.removesuffix("A")), False  # transparent nowhere
        if picture.mode == "P":
            colours = np.asarray(picture.convert("RGB"))
            grey = colours[..., 0] if (colours == colours[..., :1]).all() else None
            return RawMask(path, np.asarray(picture), 255, None if transparent else grey, turned, lossy)
        if picture.mode not in ("1", "L", "I", "F") and not picture.mode.startswith("I;16"):
            colours = np.asarray(picture if picture.mode == "RGB" else picture.convert("RGB"))
            apart = int(np.ptp(colours, axis=2).max(initial=0))
            transparent |= apart > (NEARLY_GREY if lossy else 0)
            picture = Image.fromarray(colours[..., 1] if apart else colours[..., 0])
        if transparent:
            raise UserError(
                f"the mask {shown(path)} is coloured or transparent; save it as greyscale, 255 on the object, else 0"
            )
        values = np.asarray(picture)
    brightest = {"1": 1, "L": 255}.get(picture.mode, 2**16 - 1)
    return RawMask(path, values.astype(np.uint8) if picture.mode == "1" else values, brightest, values, turned, lossy)


def _is_lossless_webp(path: Path) -> bool:
    with path.open("rb") as file:
        return b"VP8L" in file.read(64)


def several_pages(picture: ImageFile) -> int:
    """Return how many pages or frames a picture's file holds; 1 where a second one is a smaller preview of the first.

    The second pictures of cameras' files (MPO) are previews or depths.
    """
    size = picture.size
    if not getattr(picture, "is_animated", False) or picture.format == "MPO":
        return 1
    picture.seek(1)
    same = picture.size == size
    picture.seek(0)
    return getattr(picture, "n_frames", 1) if same else 1


def object_of(mask: RawMask, labels: Sequence[int] | None) -> np.ndarray:
    """Return a mask's grey values, uint8 (H, W): 255 on the object.

    Args:
        labels: the numbers that mean the object (``dataset.mask_labels``); None: it is black and white.

    Raises:
        UserError: it is made of label numbers and none are named, or it has none of those.
    """
    import numpy as np

    if labels is not None:
        if mask.lossy:
            raise UserError(
                f"the mask {shown(mask.path)} is saved lossily, which changes label numbers ({mask.told}); save it as "
                "PNG, or set dataset.mask_labels to null if masks are black and white"
            )
        found = np.isin(mask.values, labels)
        if not found.any() and mask.values.any():
            raise UserError(
                f"the mask {shown(mask.path)} has none of dataset.mask_labels = {list(labels)}, it holds {mask.told}; "
                "correct the numbers, or the mask"
            )
        return found.astype(np.uint8) * 255
    if mask.grey is None:
        raise UserError(
            f"the mask {shown(mask.path)} is coloured or transparent (its palette's numbers: {mask.told}); save it as "
            "greyscale, 255 on the object, else 0, or name the object's numbers in dataset.mask_labels"
        )
    values = distinct(mask.grey)
    top = float(values[-1])
    if values[0] < 0:
        raise UserError(f"the mask {shown(mask.path)} holds values below 0 ({mask.told}); {KEPT}")
    if mask.brightest > 255 and top:
        if mask.values.dtype.kind == "f" or not WHITE * mask.brightest <= top <= mask.brightest:
            raise UserError(
                f"the mask {shown(mask.path)} has {8 * mask.values.dtype.itemsize} bits and holds {mask.told}, where "
                f"white would be {mask.brightest}; {KEPT}"
            )
        mask = dataclasses.replace(mask, grey=np.round(mask.grey / 257).astype(np.uint8))
    elif 0 < top <= MASK_THRESHOLD and mask.brightest == 255:
        raise UserError(
            f"the mask {shown(mask.path)} has no value above {top:g}, so it holds label numbers or is too dark "
            f"({mask.told}); {KEPT}"
        )
    if not mask.lossy and _are_labels(values, mask.brightest):
        raise UserError(f"the mask {shown(mask.path)} holds label numbers ({mask.told}); {KEPT}")
    assert mask.grey is not None
    if not mask.lossy and _are_stretched_labels(values, mask.grey):
        raise UserError(
            f"the mask {shown(mask.path)} holds areas of grey ({mask.told}), so it may hold label numbers that were "
            f"stretched to be seen, or what is unknown; {KEPT}"
        )
    return (mask.grey * 255 if mask.brightest == 1 else mask.grey).astype(np.uint8)


def _are_labels(values: np.ndarray, brightest: int) -> bool:
    """Tell whether the values of a bright mask are label numbers: no white, or few small numbers beside one for void.

    A soft rim has values between black and white everywhere, so its numbers reach the middle.
    """
    between = values[(values > 0) & (values < values[-1])]
    if not len(between) or not (values % VOTE).any():
        return False
    return bool(values[-1] < WHITE * brightest or between[-1] < brightest / 4)


def _are_stretched_labels(values: np.ndarray, grey: np.ndarray) -> bool:
    """Tell whether few values between black and white fill areas; at a soft rim, neighbours differ."""
    import numpy as np

    levels = values[(values > 0) & (values < values[-1])]
    if not 0 < len(levels) <= MOST_LEVELS or min(grey.shape) < 3 or not (values % VOTE).any():
        return False
    middle = grey[1:-1, 1:-1]
    flat = (middle > 0) & (middle < grey.max())
    for down in range(3):
        for across in range(3):
            flat &= grey[down : down + middle.shape[0], across : across + middle.shape[1]] == middle
    return bool(flat.sum() > FLAT * np.count_nonzero(grey))


def object_of_trimap(mask: RawMask) -> np.ndarray:
    """Return the object of a trimap, its border included: uint8 (H, W), 255 and 0.

    Raises:
        UserError: it has other values than 1, 2 and 3.
    """
    import numpy as np

    if others := sorted(set(distinct(mask.values).tolist()) - {1, 2, 3}):
        raise UserError(
            f"the trimap {shown(mask.path)} has the value {others[0]}, allowed are 1 object, 2 background, 3 border; "
            "get it again"
        )
    return (mask.values != TRIMAP_BACKGROUND).astype(np.uint8) * 255


def fitted(
    mask: np.ndarray, carries_turn: bool, path: Path, photo_path: Path, size: tuple[int, int], orientation: int
) -> tuple[np.ndarray, bool]:
    """Return a mask on the upright photo, and whether it is certain that it was drawn on that.

    A mask that fits only the photo as it is stored is turned with it.

    Args:
        carries_turn: the mask's file said how it is turned.
        size: (H, W) of the upright photo.
        orientation: of the photo, as EXIF numbers it; 1 is upright.

    Raises:
        UserError: it has another size than its photo.
    """
    swapped = orientation in (5, 6, 7, 8)
    stored = (size[1], size[0]) if swapped else size
    if mask.shape == size:
        return mask, orientation == 1 or carries_turn or stored != size
    if mask.shape == stored and not carries_turn:
        return turn(mask, orientation), True
    as_stored = f" ({stored[1]}x{stored[0]} as stored)" if stored != size else ""
    raise UserError(
        f"the mask {shown(path)} is {mask.shape[1]}x{mask.shape[0]} pixels, but its photo {shown(photo_path)} is "
        f"{size[1]}x{size[0]} (upright){as_stored}; make them the same size"
    )


def turn(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Return pixels as EXIF's orientation wants them shown."""
    import numpy as np

    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    across = orientation in (2, 3, 6, 7)
    down = orientation in (3, 4, 7, 8)
    return np.ascontiguousarray(pixels[:: -1 if down else 1, :: -1 if across else 1])
