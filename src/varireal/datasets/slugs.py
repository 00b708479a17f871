"""Names that are safe in paths, in DVC files and on every file system."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable

from varireal.base.files import sha256_bytes
from varireal.base.text import names_a_device

MAX_LENGTH = 60


def slug(text: str) -> str:
    """Return ``text`` in lower-case ASCII letters, digits and single dashes.

    Accents are dropped ("São Paulo" -> "sao-paulo"). Where letters would be lost altogether, the text is too long or
    Windows would take the name for a device ("con"), eight digits of its hash are appended, so that different names
    stay different.
    """
    decomposed = unicodedata.normalize("NFKD", text)
    kept = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    plain = re.sub(r"[^a-z0-9]+", "-", kept.lower()).strip("-")
    lossy = any(letter.isalnum() and not letter.isascii() for letter in kept)
    if plain and not lossy and len(plain) <= MAX_LENGTH and not names_a_device(plain):
        return plain
    return f"{plain[:MAX_LENGTH].strip('-')}-{_digest(text)}".lstrip("-")


def unique_slugs(names: Iterable[str], shown: Callable[[str], str] = str) -> dict[str, str]:
    """Return a slug of ``shown(name)`` for each name; names that share one all get digits of their hash appended."""
    plain = {name: slug(shown(name)) for name in names}
    uses = Counter(plain.values())
    return {name: text if uses[text] == 1 else f"{text}-{_digest(name)}" for name, text in plain.items()}


def _digest(text: str) -> str:
    return sha256_bytes(unicodedata.normalize("NFC", text).encode("utf-8", "surrogatepass"))[:8]
