"""Files: atomic writes, hashes, images. Nothing here leaves a half-written file behind."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import os
import shutil
import tempfile
import warnings
import zlib
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from varireal.base.file_kinds import HEIF, register_heif, shown
from varireal.base.picture_errors import named_picture_errors
from varireal.base.shards import open_file
from varireal.base.text import conflict_in
from varireal.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

ANEW = "make it anew with dvc repro"
RACES = 100  # with other runs for the name of a folder, that may be lost


@contextlib.contextmanager
def named_os_errors(path: Path) -> Generator[None]:
    """Turn the failures of a write that a user can mend into one line that names the path."""
    try:
        yield
    except OSError as error:
        reasons = {
            errno.ENOSPC: "the disk is full; free some space and run the same command again",
            errno.EDQUOT: "the disk quota is used up; free some space and run the same command again",
            errno.EROFS: "the file system is read-only; choose a writable working folder",
            errno.EACCES: "no permission to write there; choose a writable working folder",
        }
        if error.errno in reasons:
            raise UserError(f"cannot write {path}: {reasons[error.errno]}") from error
        raise


@contextlib.contextmanager
def atomic_file(path: Path, *, replace: bool = True) -> Generator[BinaryIO]:
    """Yield a file to write, which takes ``path``'s place after fsync if the block ends well, and else vanishes.

    Without ``replace`` it vanishes too where another process was first.

    Raises:
        UserError: the disk is full, read-only or forbids writing; nothing half-written remains.
    """
    with named_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name[:40]}.", suffix=".tmp", dir=path.parent)
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.chmod(0o644)
            if replace or not _appeared(temporary, path):
                temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def _appeared(temporary: Path, path: Path) -> bool:
    """Give a file a second name unless it is taken, and return whether a file of that name is there now."""
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        return True
    except OSError:  # a file system without links
        return path.exists()
    return True


def atomic_write_bytes(path: Path, data: bytes, *, replace: bool = True) -> None:
    """Write ``data`` to ``path`` through a temporary file, fsync and rename: the old file or the new one, whole.

    Without ``replace`` a file that is there stays.

    Raises:
        UserError: the disk is full, read-only or forbids writing; nothing half-written remains.
    """
    with atomic_file(path, replace=replace) as file:
        file.write(data)


def json_bytes(value: Any) -> bytes:
    """Return ``value`` as readable JSON with sorted keys and a final newline (NaN is refused)."""
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` atomically as JSON with sorted keys."""
    atomic_write_bytes(path, json_bytes(value))


def read_json(path: Path, remedy: str = ANEW) -> Any:
    """Read a JSON file.

    Args:
        remedy: what to do about one that is no JSON; it may be no output of ours.

    Raises:
        UserError: the file is missing or is no JSON.
    """
    text = ""
    try:
        text = path.read_text(encoding="utf-8")
        return json.loads(text)
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing; run the stage that makes it (dvc repro)") from error
    except (ValueError, RecursionError) as error:  # also bytes that are no UTF-8, and numbers of thousands of digits
        if conflict := conflict_in(text):
            raise UserError(f"{path} {conflict}") from error
        raise UserError(f"{path} is not valid JSON ({error}); {remedy}") from error


def read_mapping(path: Path, *keys: str, remedy: str = ANEW) -> dict[str, Any]:
    """Read a JSON file that must hold an object with these keys.

    Raises:
        UserError: as :func:`read_json`, or it has another shape.
    """
    value = read_json(path, remedy)
    lacking = "holds no object"
    if isinstance(value, dict):
        found = cast("dict[str, Any]", value)
        missing = [key for key in keys if key not in found]
        if not missing:
            return found
        lacking = f"lacks {', '.join(missing)}"
    raise UserError(f"{path} has another shape than expected (it {lacking}); {remedy}")


def read_yaml(path: Path) -> Any:
    """Read a YAML file; a key that stands twice in one place is refused.

    Raises:
        UserError: the file cannot be read or is no YAML.
        FileNotFoundError: it does not exist; the caller knows the remedy.
    """
    from ruamel.yaml import YAML, YAMLError
    from ruamel.yaml.constructor import DuplicateKeyError
    from ruamel.yaml.error import MantissaNoDotYAML1_1Warning

    parser = cast(Any, YAML)(typ="safe", pure=True)  # the parser in C is faster, but files nested very deep crash it
    parser.version = (1, 1)  # Hydra's, for which `no` is no name but false
    text = ""
    try:
        text = path.read_text(encoding="utf-8")
        with warnings.catch_warnings():  # 1e-08, as dvc.lock has it, is read as the number that it is
            warnings.simplefilter("ignore", MantissaNoDotYAML1_1Warning)
            return parser.load(text)
    except FileNotFoundError:
        raise
    except DuplicateKeyError as error:  # its own words hold both values, however long
        told = cast(Any, error)  # ruamel.yaml's types are partial
        key = str(told.problem).partition(" with value")[0].removeprefix("found duplicate key ").strip('"')
        line = told.problem_mark.line + 1 if told.problem_mark else 0
        raise UserError(f"{path} is not valid YAML: the key {key!r} stands twice in one place (line {line})") from error
    except (OSError, ValueError, YAMLError, RecursionError) as error:  # ValueError: no UTF-8, or no such day
        if conflict := conflict_in(text):
            raise UserError(f"{path} {conflict}") from error
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())[:300]}") from error


@contextlib.contextmanager
def staged_folder(final: Path) -> Generator[Path]:
    """Yield an empty folder beside ``final`` that replaces it when the block succeeds and vanishes when it fails.

    Raises:
        UserError: the disk is full, read-only or forbids writing; ``final`` is then as it was.
    """
    with named_os_errors(final):
        final.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{final.name}.", suffix=".tmp", dir=final.parent))
        try:
            staging.chmod(0o755)
            yield staging
            _take_the_place_of(final, staging)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def _take_the_place_of(final: Path, staging: Path) -> None:
    """Rename a folder over another one; if other runs do the same at the same time, the last one's stays."""
    for left in reversed(range(RACES)):
        old = Path(tempfile.mkdtemp(prefix=f".{final.name}.", suffix=".tmp", dir=final.parent))
        try:
            if final.exists():
                final.replace(old)  # out of the way at once, for others may be at it too
            staging.replace(final)
            return
        except OSError as error:
            if not left or error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
                raise
        finally:
            shutil.rmtree(old, ignore_errors=True)


def read_file(path: Path) -> bytes:
    """Return a file's content; the file may lie in a shard.

    Raises:
        OSError: it is missing or cannot be read.
        UserError: its shard is damaged.
    """
    with open_file(path) as file:
        return file.read()


def sha256_bytes(data: bytes) -> str:
    """Return the SHA-256 of ``data`` in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's content in hexadecimal, read in blocks; the file may lie in a shard."""
    with open_file(path) as file:
        # typeshed asks for readinto, which all that open_file gives has
        return hashlib.file_digest(file, "sha256").hexdigest()  # pyright: ignore[reportArgumentType]


def sha256_folder(folder: Path) -> str:
    """Return one SHA-256 over the relative names and contents of all files below ``folder``.

    Raises:
        UserError: the folder does not exist or holds no file.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
    if not files:
        raise UserError(f"the folder {folder} does not exist or is empty; check the path in params.yaml")
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(folder).as_posix()}\0{sha256_file(path)}\n".encode())
    return digest.hexdigest()


def encode_png(pixels: np.ndarray) -> bytes:
    """Return uint8 pixels, (H, W, 3) or (H, W), as PNG bytes; the same pixels always give the same bytes."""
    from PIL import Image

    buffer = io.BytesIO()
    # behind PNG's filters, runs are nearly all there is to find in photos: as small as with the usual search, which
    # takes more than twice the time (edits of the default study: 0.75 ms and 19.1 kB instead of 1.7 ms and 19.3 kB)
    Image.fromarray(pixels).save(buffer, format="PNG", compress_type=zlib.Z_RLE)
    return buffer.getvalue()


def decode_png(data: bytes) -> np.ndarray:
    """Return the uint8 pixels of what :func:`encode_png` made."""
    import numpy as np
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(data)))


def read_image(path: Path) -> np.ndarray:
    """Read a picture, which may lie in a shard, as uint8 RGB (H, W, 3), as :func:`decode_image` does."""
    return decode_image(path, shown(path))


def decode_image(file: Path | BinaryIO, name: str) -> np.ndarray:
    """Decode a picture as uint8 RGB (H, W, 3): EXIF rotation applied, any colour mode converted.

    Transparent pixels are laid over white, as a viewer would show them. ``name`` is what messages call it.

    Raises:
        UserError: the file is missing, is no picture, is cut short, or is larger than 178 million pixels.
    """
    import numpy as np
    from PIL import Image, ImageOps

    if Path(name).suffix.lower() in HEIF:
        register_heif()
    with named_picture_errors(name), contextlib.ExitStack() as stack:
        source = stack.enter_context(open_file(file)) if isinstance(file, Path) else file
        opened = stack.enter_context(Image.open(source))
        picture = _eight_bits(ImageOps.exif_transpose(opened))
        if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
            picture = picture.convert("RGBA")
            white = Image.new("RGBA", picture.size, "white")
            picture = Image.alpha_composite(white, picture)
        return np.asarray(picture.convert("RGB"))


def _eight_bits(picture: Image) -> Image:
    """Return a 16-bit grey picture scaled to 8 bits, which Pillow would cut off at 255; others unchanged.

    Raises:
        ValueError: 32-bit values, whose range is unknown.
    """
    import numpy as np
    from PIL import Image

    if picture.mode in ("I", "F"):
        raise ValueError("32-bit values without a known range; save it with 8 bits")
    if not picture.mode.startswith("I;16"):
        return picture
    return Image.fromarray(np.round(np.asarray(picture).astype(np.float32) / 257).astype(np.uint8))


def read_mask(path: Path) -> np.ndarray:
    """Read a mask as bool (H, W): true where the grey value is above 127.

    Raises:
        UserError: as for :func:`read_image`.
    """
    return read_image(path)[..., 0] > 127
