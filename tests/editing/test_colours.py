"""Differences of colours, and which colours an object has already."""

from __future__ import annotations

import numpy as np
import pytest

from varireal.editing.colours import change_by, changing
from varireal.editing.pixels import difference
from varireal.prompts import AttributeSpec

WHITE, RED, GREY = (AttributeSpec(name=name, phrase=name, rgb=rgb) for name, rgb in
                    (("white", (255, 255, 255)), ("red", (255, 0, 0)), ("grey", (120, 120, 120))))  # fmt: skip


def plain(*rgb: int) -> np.ndarray:
    return np.full((4, 6, 3), rgb, np.uint8)


@pytest.mark.parametrize(
    ("first", "second", "apart"),
    [
        ((0, 0, 0), (255, 255, 255), 100.0),  # lightness alone
        ((255, 0, 0), (0, 255, 0), 170.6),  # L a b of red 53.2 80.1 67.2, of green 87.7 -86.2 83.2
        ((119, 119, 119), (120, 120, 120), 0.4),  # lightness 50.0 and 50.4
        ((7, 8, 9), (7, 8, 9), 0.0),
    ],
)
def test_the_difference_is_the_distance_in_cielab(first, second, apart) -> None:
    found = difference(plain(*first), plain(*second))
    assert found.shape == (4, 6) and found == pytest.approx(apart, abs=0.1)


def test_a_colour_changes_nothing_where_the_object_has_it_already() -> None:
    photo, mask = plain(255, 255, 255), np.ones((4, 6), bool)
    photo[:, :2], mask[:, :2] = 0, False  # black around it plays no part
    assert change_by(photo, mask, (255, 255, 255)) == pytest.approx(0, abs=1e-3)
    # a lit white surface painted red: L a b of white 100 0 0, of red 53.2 80.1 67.2
    assert change_by(photo, mask, (255, 0, 0)) == pytest.approx(114.6, abs=0.1)


def test_colours_of_the_photo_are_not_asked_for_unless_there_are_no_others() -> None:
    photo, mask = plain(250, 250, 250), np.ones((4, 6), bool)
    assert changing(photo, mask, [WHITE, RED, GREY], 15) == [RED, GREY]
    assert changing(photo, mask, [WHITE], 15) == [WHITE]
    assert changing(photo, mask, [WHITE, GREY], 200) == [GREY]  # the one that changes most


def test_a_large_object_is_judged_by_a_part_of_its_pixels() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    whole, part = np.ones((300, 300), bool), np.zeros((300, 300), bool)
    part[:40, :100] = True
    assert change_by(photo, whole, (255, 0, 0)) == pytest.approx(change_by(photo, part, (255, 0, 0)), rel=0.05)
