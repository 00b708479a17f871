"""Values that say the same thing: equal or nearly equal words, or colours that the eye hardly tells apart."""

from __future__ import annotations

import difflib
import functools
import re
import unicodedata
from collections.abc import Iterable

import numpy as np

from varireal.prompts.schema import AttributeSpec

# share of common words (Jaccard index) from which two texts say the same: "brick wall" and "red brick wall"
SAME_WORDS = 0.66
SAME_LETTERS = 0.9  # likeness of spelling (difflib's ratio) from which they do: "colour" and "color"
SAME_COLOR = 5.0  # distance in CIELAB (CIE76); about 2.3 is the least that the eye notices
_FILLERS = frozenset(["a", "an", "the", "of", "in", "on", "at", "by", "to", "with", "from", "near", "textured"])


def near_duplicate(spec: AttributeSpec, others: Iterable[AttributeSpec]) -> AttributeSpec | None:
    """Return the first of the other values that says nearly the same, or None."""
    return next((other for other in others if _same(spec, other)), None)


def _same(first: AttributeSpec, second: AttributeSpec) -> bool:
    if first.rgb and second.rgb and color_distance(first.rgb, second.rgb) < SAME_COLOR:
        return True
    return _same_text(first.name, second.name) or _same_text(first.phrase, second.phrase)


def _same_text(first: str, second: str) -> bool:
    if first.casefold() == second.casefold():
        return True
    one, two = _words(first), _words(second)
    if len(one & two) >= SAME_WORDS * len(one | two):
        return True
    spelled = ["".join(sorted(words)) for words in (one, two)]
    if 2 * min(map(len, spelled)) < SAME_LETTERS * sum(map(len, spelled)):  # lengths alone rule it out
        return False
    matcher = difflib.SequenceMatcher(None, spelled[0], spelled[1])
    return matcher.quick_ratio() >= SAME_LETTERS and matcher.ratio() >= SAME_LETTERS


@functools.cache
def _words(text: str) -> frozenset[str]:
    """Return the words that carry meaning, without accents and plural endings."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))
    words = re.findall(r"\w+", plain)
    kept = [word for word in words if word not in _FILLERS] or words
    return frozenset(word[:-1] if len(word) > 3 and word.endswith("s") and word[-2] != "s" else word for word in kept)


def color_distance(first: tuple[int, int, int], second: tuple[int, int, int]) -> float:
    """Return the Euclidean distance of two sRGB colours in CIELAB with white point D65 (CIE76; 0 to about 260)."""
    one, two = lab(np.array([first, second]))
    return float(np.linalg.norm(one - two))


def lab(colors: np.ndarray) -> np.ndarray:
    """Return sRGB colours (N, 3) in 0..255 as CIELAB, float32: L in 0..100, a and b about -128..127."""
    import cv2

    return cv2.cvtColor(colors.astype(np.float32)[:, None] / 255, cv2.COLOR_RGB2LAB)[:, 0]
