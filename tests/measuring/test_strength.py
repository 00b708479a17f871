"""How strong an edit is, with colours whose distances are known."""

from __future__ import annotations

import numpy as np
import pytest

from varireal.editing.pixels import difference
from varireal.measuring.strength import measure_strength

BLACK, WHITE, RED = (0, 0, 0), (255, 255, 255), (255, 0, 0)


def flat(colour: tuple[int, int, int]) -> np.ndarray:
    return np.full((4, 4, 3), colour, np.uint8)


def test_distances_of_known_colours() -> None:
    assert difference(flat(BLACK), flat(WHITE)) == pytest.approx(100, abs=0.1)
    # red is (53.24, 80.09, 67.20) in CIE Lab under D65
    assert difference(flat(BLACK), flat(RED)) == pytest.approx(np.hypot(np.hypot(53.24, 80.09), 67.20), abs=0.3)
    assert difference(flat(RED), flat(RED)).max() == 0


@pytest.mark.parametrize(("attribute", "lost", "untouched", "delta"), [
    ("background", 0.5, 0.75, 25.0),  # of 8 pixels of the object 4 are changed, of 8 others 2
    ("color", 0.25, 0.5, 50.0),
])  # fmt: skip
def test_what_should_change_and_what_should_stay(attribute, lost, untouched, delta) -> None:
    mask = np.zeros((4, 4), bool)
    mask[:2] = True
    edit = flat(BLACK)
    edit[0] = 255
    edit[3, :2] = 255
    found = measure_strength(attribute, flat(BLACK), edit, mask)
    assert (found.lost, found.untouched, found.same) == (lost, untouched, False)
    assert found.delta_e == pytest.approx(delta, abs=0.1)


def test_a_single_differing_pixel_is_no_equal_edit() -> None:
    mask, edit = np.eye(4, dtype=bool), flat(BLACK)
    assert measure_strength("color", flat(BLACK), edit, mask).same
    edit[1, 1, 2] = 1
    found = measure_strength("color", flat(BLACK), edit, mask)
    assert not found.same and found.untouched == 1.0


def test_a_soft_rim_loses_what_it_gave_away_and_no_more() -> None:
    """Of four columns of the object one is half kept and one kept whole; both change, as does one outside."""
    mask = np.zeros((4, 8), bool)
    mask[:, :4] = True
    kept = mask.astype(np.float32)
    kept[:, 3], kept[:, 4] = 0.5, 0.25
    edit = np.zeros((4, 8, 3), np.uint8)
    edit[:, (0, 3, 4)] = 255
    photo = np.zeros_like(edit)
    assert measure_strength("background", photo, edit, mask, kept).lost == (1 + 0.5) / 4
    assert measure_strength("background", photo, edit, mask).lost == 2 / 4
