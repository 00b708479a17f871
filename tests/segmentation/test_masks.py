import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from varireal.segmentation.masks import iou, mask_problem


def covering(pixels: int) -> np.ndarray:
    """A 10 x 10 mask with that many pixels set."""
    return (np.arange(100) < pixels).reshape(10, 10)


@pytest.mark.parametrize(
    ("pixels", "problem"),
    [(0, "empty"), (1, "too small"), (4, "too small"), (5, None), (50, None), (80, None), (81, "too large"),
     (100, "too large")],
)  # fmt: skip
def test_area_bounds_are_inclusive(pixels, problem):
    assert mask_problem(covering(pixels), min_area=0.05, max_area=0.8) == problem


def test_an_empty_mask_is_a_problem_whatever_the_bounds():
    assert mask_problem(covering(0), min_area=0, max_area=1) == "empty"
    assert mask_problem(covering(100), min_area=0, max_area=1) is None


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
