"""The judge: what it cuts out, what it says, and naming colours without a network."""

import numpy as np
import pytest
import torch

from varireal.base.files import read_json, write_json
from varireal.base.seeding import forked_torch_rng, generator
from varireal.datasets.world.render import Scene, render_scene
from varireal.datasets.world.vocabulary import COLORS
from varireal.errors import UserError
from varireal_pretraining.figures import nearest_palette_color
from varireal_pretraining.judge_net import (
    BOX_MARGIN,
    BOX_SIDE,
    GREY,
    NAMES,
    OBJECT_SIDE,
    Judge,
    JudgeNet,
    cut_boxes,
    object_box,
    object_picture,
)


@pytest.fixture
def judge():
    with forked_torch_rng("test judge"):
        return Judge(JudgeNet(place=(8, 8), class_=(8, 8), surface=(8, 8)))


def test_the_object_is_cut_to_its_square_surroundings_on_grey():
    image = np.full((60, 60, 3), 200, np.uint8)
    mask = np.zeros((60, 60), bool)
    mask[10:20, 20:60] = True  # 10 high, 40 wide, touching the border
    cut = object_picture(image, mask)
    assert cut.shape == (OBJECT_SIDE, OBJECT_SIDE, 3)
    assert set(np.unique(cut)) == {GREY, 200}
    assert (cut[..., 0] == 200).mean() == pytest.approx(10 * 40 / 40**2, abs=0.01)


def test_the_square_around_the_object_holds_it_with_a_margin():
    mask = np.zeros((100, 100), bool)
    mask[40:60, 10:60] = True  # 20 high, 50 wide, its centre at x 35, y 50
    x, y, half = object_box(mask)
    assert (x, y, half) == pytest.approx((35 / 50 - 1, 0.0, BOX_MARGIN * 50 / 100))
    pictures = torch.from_numpy(np.repeat(mask[None, None].astype(np.float32), 3, 1))
    cut = cut_boxes(pictures, torch.tensor([[x, y, half]]))
    assert cut.shape == (1, 3, BOX_SIDE, BOX_SIDE)
    # 20 of 55 rows and 50 of 55 columns; sampling softens the rim.
    assert float(cut.mean()) == pytest.approx(20 * 50 / 55**2, abs=0.01)


@pytest.mark.parametrize("mask", [np.zeros((8, 8), bool), np.ones((4, 8), bool)])
def test_an_unusable_mask_is_refused(mask):
    with pytest.raises(UserError, match="mask"):
        object_picture(np.zeros((8, 8, 3), np.uint8), mask)


def test_a_saved_judge_says_the_same_when_loaded(judge, tmp_path):
    judge.save(tmp_path / "judge")
    rng = generator("test judge pictures")
    images = [rng.integers(0, 256, (128, 128, 3), np.uint8) for _ in range(5)]
    masks = [np.ones((128, 128), bool)] * 5
    said = judge.predict(images, masks)
    assert Judge.load(tmp_path / "judge").predict(images, masks) == said
    assert set(said) == {"class", "place", "surface"}
    assert all(word in NAMES[head] for head, words in said.items() for word in words)


def test_a_judge_of_other_words_is_refused(judge, tmp_path):
    judge.save(tmp_path / "judge")
    facts = read_json(tmp_path / "judge" / "judge.json")
    facts["names"]["place"] = ["moon"]
    write_json(tmp_path / "judge" / "judge.json", facts)
    with pytest.raises(UserError, match="other words"):
        Judge.load(tmp_path / "judge")


@pytest.mark.parametrize("color", ["white", "silver", "navy blue", "neon pink", "brown"])
def test_the_colour_of_a_render_is_named(color):
    rendering = render_scene(Scene("trijet", "runway", color, None, None), generator("test palette", color), 128)
    assert nearest_palette_color(rendering.image, rendering.mask > 127, COLORS) == color


def test_naming_a_colour_needs_an_object():
    with pytest.raises(UserError, match="mask"):
        nearest_palette_color(np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), bool), COLORS)
