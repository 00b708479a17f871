"""Which files in a folder from outside are pictures, what systems leave behind, and how such names are compared."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import re
import unicodedata
from pathlib import Path

HEIF = frozenset({".heic", ".heics", ".heif", ".heifs", ".hif"})
# formats of Pillow that are no photos, or that it only knows by name: documents, films, icons, tables of measurements
_NO_PHOTOS = frozenset({"BUFR", "CUR", "EPS", "FLI", "GRIB", "HDF5", "ICNS", "ICO", "IPTC", "MPEG", "PDF", "WMF"})
# left by NAS (Synology, QNAP, NetApp), Windows, macOS, Linux, archives, picture managers; compared in lower case
_REST = re.compile(
    r"\..*"  # hidden: .DS_Store, ._photo.jpg, .AppleDouble, .Trash-1000, .thumbnails, .ipynb_checkpoints
    r"|@(eadir|recycle|recently-snapshot|sharebin|snapshot|syno.*|tmp|__thumb)"
    r"|[#~](recycle|snapshot|snapshots)|~\$.*|.*~"
    r"|\$recycle\.bin|recycler|recycled|system volume information|found\.\d{3}"
    r"|__macosx|network trash folder|temporary items|thevolumesettingsfolder|icon\r"
    r"|lost\+found|lost\.dir|_?thumbnails|_thumbs?|.*\.lrdata"
    r"|(eh)?thumbs(_vista)?\.db|desktop\.ini|picasa\.ini|folder\.ico|albumart(small|_.*)?\.jpg"
    r"|syno(photo|index|file)_?.*|zbthumbnail\.info"
    r"|.*\.(photos?library|aplibrary|migratedphotolibrary)|\[originals\]|dfsrprivate|trashbox|_gsdata_"
    # copies of two versions of one file, by Syncthing, and by Dropbox and Nextcloud
    r"|.*\.sync-conflict-\d{8}-\d{6}.*|.*\((|.*\s)conflicted copy( .*)?\).*",
    re.DOTALL,
)
_JOINERS = "\u200c\u200d"  # within words of some scripts, and within emoji


def is_rest(name: str) -> bool:
    """Tell whether a system, a NAS or an archive left a file or folder of this name behind, so that it is no photo."""
    return _REST.fullmatch(name.casefold()) is not None


@functools.cache
def picture_suffixes() -> frozenset[str]:
    """Return the suffixes, in lower case, of the pictures that Pillow opens here; HEIC where pillow-heif is installed.

    Icons, documents and films that it knows by name are left out.
    """
    from PIL import Image

    register_heif()
    Image.init()
    known = Image.registered_extensions().items()
    return frozenset(suffix for suffix, kind in known if kind in Image.OPEN and kind not in _NO_PHOTOS)


@functools.cache
def register_heif() -> bool:
    """Let Pillow read HEIC if pillow-heif is installed, and return whether it is."""
    if importlib.util.find_spec("pillow_heif") is None:
        return False
    importlib.import_module("pillow_heif").register_heif_opener()
    return True


def same_name(path: Path) -> Path:
    """Return a path with composed letters: macOS writes é as two letters where other systems write one."""
    return Path(unicodedata.normalize("NFC", str(path)))


def at_home(path: str) -> Path:
    """Return a path with ~ and ~somebody at its beginning as their home folders; as it is if nobody is called so."""
    try:
        return Path(path).expanduser()
    except RuntimeError:  # "~photos" for "~/photos", as a shell passes it on too
        return Path(path)


def is_utf8(name: str) -> bool:
    """Tell whether the bytes of a file's name are UTF-8, as nearly all are; old archives hold others."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def shown(path: Path) -> str:
    """Return a path as text that can be printed and stored, whatever its name: bytes, line breaks, codes."""
    text = str(path).encode("utf-8", "backslashreplace").decode()
    return "".join(repr(letter)[1:-1] if _hides(letter) else letter for letter in text)


def _hides(letter: str) -> bool:
    """Tell whether a letter disguises what a log shows: line breaks, codes of terminals, turns of direction."""
    return unicodedata.category(letter) in ("Cc", "Cf", "Zl", "Zp") and letter not in _JOINERS
