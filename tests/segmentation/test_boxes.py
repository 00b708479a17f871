import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from varireal.config.data import ChoiceConfig
from varireal.segmentation.boxes import Detection, area_share, choose, nearness

SIZE = (100, 200)  # height, width
SCORE_ONLY = ChoiceConfig(area_weight=0, position_weight=0)
LARGE_CENTRAL = Detection((50, 25, 150, 75), 0.5)  # a quarter of the photo, around its centre
SMALL_CORNER = Detection((0, 0, 20, 10), 0.7)  # a hundredth of the photo, centre (10, 5)


def test_area_and_nearness_of_worked_examples():
    assert area_share(LARGE_CENTRAL, SIZE) == 0.25
    assert area_share(SMALL_CORNER, SIZE) == 0.01
    assert nearness(LARGE_CENTRAL, SIZE) == 1
    # from (10, 5) to the centre (100, 50), over half the diagonal
    assert nearness(SMALL_CORNER, SIZE) == pytest.approx(1 - math.hypot(90, 45) / math.hypot(100, 50))
    assert nearness(Detection((0, 0, 0, 0), 1), SIZE) == pytest.approx(0)


def test_the_score_alone_decides_without_weights():
    assert choose([LARGE_CENTRAL, SMALL_CORNER], SIZE, 0, SCORE_ONLY) == 1


def test_size_and_position_can_outweigh_the_score():
    detections = [SMALL_CORNER, LARGE_CENTRAL]
    # by size: 0.7 + w * 0.1 against 0.5 + w * 0.5, equal at w = 0.5
    assert choose(detections, SIZE, 0, ChoiceConfig(area_weight=0.49, position_weight=0)) == 0
    assert choose(detections, SIZE, 0, ChoiceConfig(area_weight=0.51, position_weight=0)) == 1
    # by position: 0.7 + w * 0.1 against 0.5 + w * 1, equal at w = 0.2 / 0.9
    assert choose(detections, SIZE, 0, ChoiceConfig(area_weight=0, position_weight=0.22)) == 0
    assert choose(detections, SIZE, 0, ChoiceConfig(area_weight=0, position_weight=0.23)) == 1


def test_the_defaults_prefer_the_object_in_front():
    # 0.5 + 0.3 * 0.5 + 0.2 = 0.85 against 0.7 + 0.3 * 0.1 + 0.2 * 0.1 = 0.75
    assert choose([SMALL_CORNER, LARGE_CENTRAL], SIZE, 0.005, ChoiceConfig()) == 1
    sure = Detection(SMALL_CORNER.box, 0.81)
    assert choose([sure, LARGE_CENTRAL], SIZE, 0.005, ChoiceConfig()) == 0


def test_boxes_too_small_for_a_usable_mask_are_left_out():
    assert choose([SMALL_CORNER, LARGE_CENTRAL], SIZE, 0.01, SCORE_ONLY) == 0
    assert choose([SMALL_CORNER, LARGE_CENTRAL], SIZE, 0.011, SCORE_ONLY) == 1
    assert choose([SMALL_CORNER], SIZE, 0.011, SCORE_ONLY) is None
    assert choose([Detection((30, 40, 30, 90), 0.9)], SIZE, 0, SCORE_ONLY) is None  # a line
    assert choose([], SIZE, 0, SCORE_ONLY) is None


def test_boxes_are_cut_at_the_photos_edges():
    assert Detection((-5.5, 3, 230, 120), 0.4).clipped(SIZE) == Detection((0, 3, 200, 100), 0.4)
    assert area_share(Detection((-50, -20, -10, -5), 0.9).clipped(SIZE), SIZE) == 0


def test_details_are_rounded_for_the_manifest():
    details = Detection((1.23, 4.56, 7.89, 10.0), 0.123456).details("a dog", 3)
    assert details == {"phrase": "a dog", "score": 0.1235, "box": [1.2, 4.6, 7.9, 10.0], "candidates": 3}


BOXES = st.builds(
    lambda x, y, w, h, score: Detection((x, y, min(x + w, 200), min(y + h, 100)), score),
    st.integers(0, 190), st.integers(0, 90), st.integers(1, 100), st.integers(1, 100),
    st.sampled_from([0.4, 0.5, 0.9]),
)  # fmt: skip


@given(st.lists(BOXES, min_size=1, max_size=6).flatmap(lambda found: st.tuples(st.just(found), st.permutations(found))))
def test_the_detectors_order_plays_no_part(lists):
    found, shuffled = lists
    first = found[choose(found, SIZE, 0, ChoiceConfig())]
    assert shuffled[choose(shuffled, SIZE, 0, ChoiceConfig())] == first
