"""What is said when a picture's file cannot be decoded."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Generator
from pathlib import Path

from varireal.base.file_kinds import HEIF, register_heif
from varireal.errors import UserError

# what Pillow raises at damaged files, by format: AVIF and DDS RuntimeError, IM KeyError, broken EXIF TypeError
DAMAGED = (
    OSError,
    SyntaxError,
    ValueError,
    RuntimeError,
    LookupError,
    TypeError,
    EOFError,
    ArithmeticError,
    struct.error,
)


@contextlib.contextmanager
def named_picture_errors(name: str) -> Generator[None]:
    """Turn Pillow's failures to decode a picture into one line that names it.

    Raises:
        UserError: the file is missing, is no picture, is cut short, or is larger than 178 million pixels.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        yield
    except FileNotFoundError as error:
        raise UserError(f"the image {name} does not exist") from error
    except Image.DecompressionBombError as error:
        raise UserError(f"the image {name} is too large to open safely ({error})") from error
    except UnidentifiedImageError as error:  # its own words name an address in memory where there is no path
        if Path(name).suffix.lower() in HEIF and not register_heif():
            raise UserError(
                f"the image {name} is HEIC, which is read where pillow-heif is installed: pip install pillow-heif, or "
                "save it as JPEG"
            ) from error
        raise UserError(
            f"the image {name} cannot be read (it is no picture that Pillow knows{_instead(Path(name))}); replace or "
            "remove the file"
        ) from error
    except DAMAGED as error:
        raise UserError(f"the image {name} cannot be read ({error}); replace or remove the file") from error


def _instead(path: Path) -> str:
    """Say what a file without a picture holds in its place, where downloads and clones leave something known there."""
    if not path.is_file():  # a name in a shard
        return ""
    with path.open("rb") as file:
        head = file.read(300)
    if not head:
        return ": it is empty"
    if head.startswith(b"version https://git-lfs"):
        return ": it is a pointer of Git LFS, git lfs pull gets the file"
    if head.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return ": it is a web page"
    return ""
