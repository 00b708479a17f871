"""By how much a figure may differ on another machine without being another result.

Another CPU rounds the last digits of masks, edits and weights otherwise; by the end some test photos change sides. So
accuracies are allowed three photos, means over seeds too unless the margin of the study is smaller, what is made of few
seeds (intervals and bounds) a tenth, and what merely follows from other figures is not judged again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

PHOTOS = 3  # that may change sides in one model's accuracy
MADE_OF_OTHERS = {"words", "answer", "needed", "best_step"}  # sentences, advice, and which look at val was kept
# as in the settings, or a promise that no machine may break
EXACT = {"seed", "seeds", "step", "photos", "val_photos", "edits_per_photo", "ratio", "alpha", "margin", "comparisons",
         "changed_outside", "pixels_changed_outside", "failed", "failures", "fallbacks"}  # fmt: skip
VERDICTS = {"outcome", "passed", "different", "equivalent", "undecided"}
WIDE = {
    "low",
    "high",
    "bound",
    "detectable",
    "half_width",
    "slope_low",
    "slope_high",
    "bootstrap_low",
    "bootstrap_high",
}
MEANS = {"mean", "points", "slope", "std", "standard_error", "minus_real", "minus_zero_shot"}
ACCURACIES = {"top1", "top5", "val_top1", "minimum", "maximum"}

Tree = Any  # what JSON holds
NOTHING = "nothing"  # stands for a key that one version lacks


@dataclasses.dataclass(frozen=True)
class Scale:
    """What tolerances of accuracies depend on."""

    margin: float  # points within which a mean does not matter
    test_photos: int
    val_photos: int
    classes: int


@dataclasses.dataclass(frozen=True)
class Difference:
    """One place where two files of figures differ."""

    key: str  # by dots
    before: Tree
    now: Tree
    allowed: float | None  # None: nothing but the same would do
    is_verdict: bool = False

    @property
    def agrees(self) -> bool:
        """Tell whether the difference is within its tolerance."""
        return self.allowed is not None and abs(self.now - self.before) <= self.allowed

    @property
    def share(self) -> float:
        """Return how much of the tolerance is used, 1 for all of it."""
        return abs(self.now - self.before) / self.allowed if self.allowed else float("inf")


def differences(before: Tree, now: Tree, scale: Scale) -> list[Difference]:
    """Return every figure that differs between two versions of a file, with what it may differ by."""
    first, second = dict(_leaves(before)), dict(_leaves(now))
    found = []
    for key in [*first, *(key for key in second if key not in first)]:
        values = first.get(key, NOTHING), second.get(key, NOTHING)
        if MADE_OF_OTHERS & set(key) or values[0] == values[1]:
            continue
        numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
        allowed = _allowed(key, float(values[0]), scale, isinstance(values[0], int)) if numbers else None
        found.append(Difference(".".join(key), *values, allowed, _name(key) in VERDICTS))
    return found


def count_figures(tree: Tree) -> tuple[int, int]:
    """Return how many figures and how many verdicts a file holds, without what is not judged."""
    keys = [key for key, _ in _leaves(tree) if not MADE_OF_OTHERS & set(key)]
    verdicts = sum(_name(key) in VERDICTS for key in keys)
    return len(keys) - verdicts, verdicts


def _leaves(tree: Tree, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Tree]]:
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from _leaves(value, (*path, str(key)))
    elif isinstance(tree, list):
        for number, value in enumerate(tree):
            yield from _leaves(value, (*path, str(number)))
    else:
        yield path, tree


def _name(key: tuple[str, ...]) -> str:
    """Return the last part of a key that is a word, not a place in a list."""
    return next((part for part in reversed(key) if not part.isdigit()), "")


def _allowed(key: tuple[str, ...], before: float, scale: Scale, whole: bool) -> float | None:
    """Return the tolerance of a figure, None where it must be the same."""
    name = _name(key)
    if name in EXACT | VERDICTS:
        return None
    if "per_class" in key:
        return 100 * PHOTOS * scale.classes / scale.test_photos
    if name in ACCURACIES:
        return 100 * PHOTOS / (scale.val_photos if name.startswith("val") else scale.test_photos)
    if name.startswith(("p_", "mcnemar")):
        return 0.1
    if name in WIDE:
        return max(1.0, 0.1 * abs(before))
    if name.startswith("val_top1"):
        return 100 * PHOTOS / scale.val_photos
    if name in MEANS or name.endswith(("_mean", "_std")):
        return min(scale.margin, 100 * PHOTOS / scale.test_photos)
    if whole:  # of edits that a judge accepted, images of a mix
        return max(2.0, 0.01 * abs(before))
    if "by_value" in "".join(key):  # shares of few edits
        return 0.1
    return max(0.01, 0.01 * abs(before))
