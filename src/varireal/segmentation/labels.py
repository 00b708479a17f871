"""Whether the labels that a segmentation model is asked for name what the photos show."""

from __future__ import annotations

import re
from collections.abc import Iterable

from varireal.config import SegmentConfig


def labels_problem(config: SegmentConfig, domain_word: str, classes: Iterable[str]) -> str | None:
    """Say why ``segment.object_labels`` would find another kind of object than the photos', or return None.

    Labels fit that share a word with ``dataset.domain_word`` or with a class, or that ``segment.labels_for`` says to
    mean the domain word. Only source and fallback ``model`` read labels.
    """
    if "model" not in (config.source, config.fallback):
        return None
    if config.labels_for is not None:
        if _words(config.labels_for) & _words(domain_word):
            return None
        return (
            f"segment.labels_for is {config.labels_for!r}, but dataset.domain_word is {domain_word!r}; name labels of "
            "segment.checkpoint for these photos in segment.object_labels, and correct labels_for"
        )
    shown = _words(domain_word).union(*map(_words, classes))
    if any(_words(label) & shown for label in config.object_labels):
        return None
    photos = f"dataset.domain_word {domain_word!r}" if domain_word else "a class (dataset.domain_word is empty)"
    return (
        f"segment.object_labels {config.object_labels} name nothing that the photos show by {photos}, so that "
        f"segment.checkpoint = {config.checkpoint!r} would look for something else; give masks (dataset.masks_root), "
        "name a checkpoint and labels for these photos, or say that the labels mean them: "
        f"segment.labels_for={domain_word or 'the domain word'}"
    )


def _words(text: str) -> set[str]:
    """Return the words of a name in lower case, plurals as singulars."""
    words = re.findall(r"[^\W\d_]+", text.casefold())
    return {word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word for word in words}
