"""The words of the rendered world."""

import itertools
import subprocess
import sys

import pytest

from varireal.datasets.world.vocabulary import (
    CLASSES,
    COLORS,
    FEASIBLE_COLORS,
    FEASIBLE_MATERIALS,
    FEASIBLE_PLACES,
    INFEASIBLE_COLORS,
    INFEASIBLE_MATERIALS,
    INFEASIBLE_PLACES,
    MATERIALS,
    PLACES,
    STRUCTURE,
    check_word,
)
from varireal.errors import UserError


@pytest.mark.parametrize(
    ("every", "feasible", "infeasible", "counts"),
    [
        (COLORS, FEASIBLE_COLORS, INFEASIBLE_COLORS, (6, 6)),
        (MATERIALS, FEASIBLE_MATERIALS, INFEASIBLE_MATERIALS, (3, 7)),
        (PLACES, FEASIBLE_PLACES, INFEASIBLE_PLACES, (8, 8)),
    ],
)
def test_feasible_and_infeasible_words_split_every_attribute(every, feasible, infeasible, counts):
    assert (len(feasible), len(infeasible)) == counts
    assert sorted(every) == sorted(feasible + infeasible)
    assert not set(feasible) & set(infeasible)


def test_ten_classes_each_with_its_own_description():
    assert len(set(CLASSES)) == 10
    assert tuple(STRUCTURE) == CLASSES
    assert len(set(STRUCTURE.values())) == 10


def test_palette_colors_are_far_apart():
    for (first, a), (second, b) in itertools.combinations(COLORS.items(), 2):
        assert sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) ** 0.5 > 60, (first, second)


def test_the_words_need_no_heavy_library():
    code = "import sys, varireal.datasets.world.vocabulary; print([m for m in ('numpy', 'cv2') if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_unknown_word_names_what_is_allowed():
    assert check_word("place", "runway", tuple(PLACES)) == "runway"
    with pytest.raises(UserError, match=r"unknown place 'moon'.*runway.*chessboard"):
        check_word("place", "moon", tuple(PLACES))
