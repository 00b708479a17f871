import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from varireal.config import SegmentConfig
from varireal.config.data import CleaningConfig
from varireal.segmentation.masks import border_share, clean_mask, iou, main_fragment_share, mask_problem


def covering(pixels: int) -> np.ndarray:
    """A 10 x 10 mask with that many pixels set."""
    return (np.arange(100) < pixels).reshape(10, 10)


def drawn(*rows: str) -> np.ndarray:
    """A mask from lines of text."""
    return np.array([[sign == "#" for sign in row] for row in rows])


def reason(mask: np.ndarray, **bounds: float) -> str | None:
    settings = {"min_area": 0, "max_area": 1, "max_border": 1, "min_main_fragment": 0, **bounds}
    note = mask_problem(mask, SegmentConfig(source="dataset", **settings))
    return note and note.partition(":")[0]


@pytest.mark.parametrize(
    ("pixels", "problem"),
    [(0, "empty"), (1, "too small"), (4, "too small"), (5, None), (50, None), (80, None), (81, "too large"),
     (100, "too large")],
)  # fmt: skip
def test_area_bounds_are_inclusive(pixels, problem):
    assert reason(covering(pixels), min_area=0.05, max_area=0.8) == problem


def test_an_empty_mask_is_a_problem_whatever_the_bounds():
    assert reason(covering(0)) == "empty"
    assert reason(covering(100)) is None


def test_contact_with_the_border_is_bounded():
    # the outline of 10 x 10 has 36 pixels; of the three upper rows it holds 10 + 2 + 2
    assert border_share(covering(30)) == pytest.approx(14 / 36)
    assert reason(covering(30), max_border=0.39) is None
    assert reason(covering(30), max_border=0.38) == "at the border"
    inner = np.pad(np.ones((8, 8), bool), 1)
    assert border_share(inner) == 0
    assert border_share(~inner) == 1


def test_scattered_masks_are_told():
    mask = drawn("##..#", "##..#", ".....", "#.#.#")  # 4, 2, 1, 1, 1 pixels
    assert main_fragment_share(mask) == pytest.approx(4 / 9)
    assert reason(mask, min_main_fragment=0.44) is None
    assert reason(mask, min_main_fragment=0.45) == "scattered"
    assert main_fragment_share(drawn("#..", ".#.", "..#")) == 1  # corners connect


def test_notes_carry_the_figures():
    config = SegmentConfig(source="dataset", max_border=0.25, max_area=0.5)
    assert mask_problem(covering(60), config) == "too large: 60.00% of the photo, allowed are 1.00% to 50.00%"
    expected = "at the border: it holds 38.89% of the photo's border, allowed are 25.00%"
    assert mask_problem(covering(30), config) == expected


UNTIDY = drawn(
    "........#",
    ".#####...",
    ".#...#...",
    ".#.#.#..#",
    ".#...#..#",
    ".#####...",
    "........."
)  # fmt: skip  # a ring of 16 around a hole of 8 with a dot in it; specks of 1 and 2


def test_defaults_change_nothing():
    np.testing.assert_array_equal(clean_mask(UNTIDY, CleaningConfig()), UNTIDY)


def test_small_fragments_are_dropped():
    assert UNTIDY.sum() == 16 + 1 + 1 + 2
    assert clean_mask(UNTIDY, CleaningConfig(min_fragment=2 / 16)).sum() == 18
    assert clean_mask(UNTIDY, CleaningConfig(min_fragment=0.2)).sum() == 16
    assert clean_mask(UNTIDY, CleaningConfig(min_fragment=1)).sum() == 16


def test_small_holes_are_filled_and_the_outside_never_is():
    ring = clean_mask(UNTIDY, CleaningConfig(min_fragment=1))  # 16 pixels around a hole of 9
    assert clean_mask(ring, CleaningConfig(max_hole=0.56)).sum() == 16
    filled = clean_mask(ring, CleaningConfig(max_hole=0.57))
    assert filled.sum() == 25 and filled[1:6, 1:6].all()
    np.testing.assert_array_equal(clean_mask(UNTIDY, CleaningConfig(min_fragment=1, max_hole=1)), filled)
    cup = drawn("#.#", "#.#", "###")
    np.testing.assert_array_equal(clean_mask(cup, CleaningConfig(max_hole=1)), cup)


def test_a_hole_is_closed_where_only_corners_lead_out():
    diamond = drawn(".#.", "#.#", ".#.")
    assert clean_mask(diamond, CleaningConfig(max_hole=1)).sum() == 5


def test_empty_and_full_masks_survive_cleaning():
    everything = CleaningConfig(min_fragment=1, max_hole=1)
    assert clean_mask(covering(0), everything).sum() == 0
    assert clean_mask(covering(100), everything).sum() == 100


@given(st.sets(st.integers(0, 99)), st.floats(0, 1), st.floats(0, 1))
def test_dropping_only_takes_away_and_filling_only_adds(pixels, min_fragment, max_hole):
    mask = np.isin(np.arange(100), list(pixels)).reshape(10, 10)
    config = CleaningConfig(min_fragment=min_fragment, max_hole=max_hole)
    once = clean_mask(mask, config)
    fragments_only = clean_mask(mask, CleaningConfig(min_fragment=min_fragment))
    assert not (fragments_only & ~mask).any() and not (fragments_only & ~once).any()
    np.testing.assert_array_equal(clean_mask(fragments_only, CleaningConfig(min_fragment=min_fragment)), fragments_only)


def test_iou_of_worked_examples():
    first, second = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    first[:2], second[1:3] = True, True  # 8 pixels each, 4 shared, 12 together
    assert iou(first, second) == pytest.approx(1 / 3)
    assert iou(first, ~first) == 0
    assert iou(first, first) == 1
    assert iou(np.zeros((4, 4), bool), np.zeros((4, 4), bool)) == 1


def test_masks_of_different_sizes_cannot_be_compared():
    with pytest.raises(ValueError, match="shapes"):
        iou(covering(1), covering(1)[:5])


@given(st.sets(st.integers(0, 99)), st.sets(st.integers(0, 99)))
def test_iou_agrees_with_sets(one, other):
    def mask(pixels):
        return np.isin(np.arange(100), list(pixels)).reshape(10, 10)

    expected = len(one & other) / len(one | other) if one | other else 1.0
    assert iou(mask(one), mask(other)) == pytest.approx(expected)
