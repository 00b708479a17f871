"""Names of folders that are no classes: splits however they are spelled, masks, and pictures of places."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from varireal.base.manifest import Split
from varireal.errors import UserError

_SPLIT_WORDS: dict[str, Split] = {
    **dict.fromkeys(("train", "training", "trainval", "trn", "tr"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev", "eval", "evaluation", "vali"), "val"),
    **dict.fromkeys(("test", "testing", "tst", "ts", "holdout"), "test"),
}
# what such a folder is called beside the split itself
_FILLERS = ("dataset", "set", "data", "split", "subset", "images", "image", "imgs", "img", "photos", "pictures",
            "pics", "samples", "folder", "fold", "part", "class", "classes")  # fmt: skip
_FULL_WORDS = ("train", "training", "val", "valid", "validation", "test", "testing")  # clear even glued to a filler
_MASKS = frozenset({"mask", "masks", "trimap", "trimaps", "annotation", "annotations", "segmentation", "segmentations",
                    "segmentationclass", "segmentationobject", "mattes", "groundtruth"})  # fmt: skip
PLACES = frozenset({"background", "texture"})  # folders of edit.prior.pictures


def split_meant(name: str) -> Split | None:
    """Return the split that a folder's name means in any spelling and case ("Test", "training_set", "val2"), or None.

    A name with any further word ("train station", "test tube") means none.
    """
    words = re.findall(r"[a-z]+", unicodedata.normalize("NFKC", name).casefold())
    if not words or any(letter.isalpha() and not letter.isascii() for letter in name):
        return None
    meant = [word for word in (_unglued(word) for word in words) if word not in _FILLERS]
    if len(meant) != 1 or meant[0] not in _SPLIT_WORDS:
        return None
    if len(meant[0]) <= 2 and meant == words:  # "tr" and "ts" are too short to stand alone
        return None
    return _SPLIT_WORDS[meant[0]]


def refuse_parts(parent: Path, names: Iterable[str]) -> None:
    """Refuse names that differ in the word for a split alone, such as "seg_train" and "seg_test".

    Raises:
        UserError: there are two.
    """
    first: dict[str, tuple[Split, str]] = {}
    for name in names:
        # "trainA" has two words
        words = [word.casefold() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+", name)]
        for place, word in enumerate(words):
            if len(word) <= 2 or word not in _SPLIT_WORDS:
                continue
            split, rest = _SPLIT_WORDS[word], " ".join([*words[:place], "", *words[place + 1 :]])
            other, other_name = first.setdefault(rest, (split, name))
            if other != split:
                raise UserError(
                    f"{parent} holds {other_name} and {name}, by their names the {other} and the {split} part of the "
                    "same; put one folder a class into train, val and test, or rename them if they are classes"
                )


def _unglued(word: str) -> str:
    """Return the split's word of one that is written together with a filler: "trainset", "imagestest"."""
    short = (*_FULL_WORDS, "tr", "ts")
    for filler in _FILLERS:
        if word.endswith(filler) and word.removesuffix(filler) in _FULL_WORDS:
            return word.removesuffix(filler)
        if word.startswith(filler) and word.removeprefix(filler) in short:  # "imagesTr" of medical data sets
            return word.removeprefix(filler)
    return word


def names_masks(name: str) -> bool:
    """Tell whether a folder of this name holds masks of photos."""
    return re.sub(r"[^a-z]", "", name.casefold()) in _MASKS


def names_anything(name: str) -> bool:
    """Tell whether a name says no more than that there is data: "images", "my data" does, "dog images" does not."""
    words = re.findall(r"[a-z]+", name.casefold())
    return bool(words) and all(word in (*_FILLERS, "my", "all", "raw") for word in words) and name.isascii()
