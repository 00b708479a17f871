import pytest

from varireal.prompts import AttributeSpec
from varireal.prompts.llm.near import color_distance, near_duplicate


def spec(name, phrase=None, rgb=None):
    return AttributeSpec(name=name, phrase=phrase or name, rgb=rgb)


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("beach", "Beach", True), ("beach", "the beaches", True), ("meadow", "meadows", True),
        ("brick wall", "red brick wall", True), ("colour chart", "color chart", True), ("café", "cafe", True),
        ("dark blue", "light blue", False), ("under water", "on water", False), ("sea", "seal", False),
        ("snowy forest", "forest, snowy", True), ("living room sofa", "living room floor", False),
        ("grass", "glass", False), ("in a barn", "behind a barn", False), ("雪山", "雪山", True),
        ("雪山", "森林", False),
    ],
)  # fmt: skip
def test_texts_that_say_the_same(first, second, same):
    assert bool(near_duplicate(spec(first), [spec(second)])) is same
    assert bool(near_duplicate(spec(second), [spec(first)])) is same


def test_the_phrase_counts_too():
    assert near_duplicate(spec("a", "in a kitchen"), [spec("b", "in the kitchen")]).name == "b"


def test_the_first_of_several_is_named_and_none_if_there_is_none():
    others = [spec("lava"), spec("meadow"), spec("meadows")]
    assert near_duplicate(spec("the meadow"), others) is others[1]
    assert near_duplicate(spec("city"), others) is None


def test_colours_that_the_eye_hardly_tells_apart():
    assert near_duplicate(spec("ivory", rgb=(250, 250, 240)), [spec("chalk", rgb=(249, 250, 243))])
    assert not near_duplicate(spec("ivory", rgb=(250, 250, 240)), [spec("sand", rgb=(220, 200, 160))])


def test_distances_are_those_of_cielab():
    """White against black is L* 100; red (53.24, 80.09, 67.20) against green (87.73, -86.18, 83.18), by Lindbloom."""
    assert color_distance((255, 255, 255), (0, 0, 0)) == pytest.approx(100, abs=0.01)
    expected = ((53.24 - 87.73) ** 2 + (80.09 + 86.18) ** 2 + (67.20 - 83.18) ** 2) ** 0.5
    assert color_distance((255, 0, 0), (0, 255, 0)) == pytest.approx(expected, abs=0.05)
    assert color_distance((12, 34, 56), (12, 34, 56)) == 0
