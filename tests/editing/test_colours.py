"""Differences of colours, and which colours an object has already."""

from __future__ import annotations

import numpy as np
import pytest

from varireal.editing.colours import alike, change_by, changing
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


def grey(value: int) -> AttributeSpec:
    return AttributeSpec(name=f"grey {value}", phrase="grey", rgb=(value,) * 3)


def pairs_of(first: list[int], second: list[int], within: float, seed: int = 0) -> list[tuple[int, int]]:
    """Return the pairs of greys for a black object, which a grey changes by its lightness."""
    photo, mask = plain(0, 0, 0), np.ones((4, 6), bool)
    lists = [[grey(value) for value in values] for values in (first, second)]
    found = alike(photo, mask, *lists, within, np.random.default_rng(seed))
    return [(one.rgb[0], other.rgb[0]) for one, other in found if one.rgb and other.rgb]


def test_pairs_change_the_object_equally_and_have_each_colour_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("varireal.editing.colours.change_by", lambda photo, mask, rgb: float(rgb[0]))
    pairs = pairs_of([20, 60, 100], [23, 58, 180], within=5)
    assert sorted(pairs) == [(20, 23), (60, 58)]
    assert pairs_of([20, 22], [21], within=5) in ([(20, 21)], [(22, 21)])
    drawn = {pairs_of([20, 22], [21], within=5, seed=seed)[0] for seed in range(20)}
    assert drawn == {(20, 21), (22, 21)}  # not always the closest pair: a study has many colours
    assert {tuple(pairs_of([20, 60], [20, 60], 5, seed)) for seed in range(20)} == {
        ((20, 20), (60, 60)), ((60, 60), (20, 20))
    }  # fmt: skip


def test_without_a_pair_the_least_uneven_one_is_taken_of_those_that_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("varireal.editing.colours.change_by", lambda photo, mask, rgb: float(rgb[0]))
    assert pairs_of([2, 20, 30], [2, 90], within=5) == [(30, 90)]  # 2 and 2 are equal, but nobody would see them
    assert pairs_of([2, 3], [4, 9], within=1) == [(3, 4)]


def test_pairs_are_judged_by_what_colours_do_to_the_photo() -> None:
    # lightness of grey 119 is 50.0, of 120 50.4, of 255 100
    assert pairs_of([119, 255], [120], within=2) == [(119, 120)]
