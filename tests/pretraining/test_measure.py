"""Figures of edits: the parts that need no trained judge, and a whole cell with an untrained one."""

import json

import numpy as np
import pytest

from varireal.base.files import atomic_write_bytes, encode_png
from varireal.base.manifest import ImageRecord
from varireal.base.seeding import forked_torch_rng, generator
from varireal.datasets.world.render import Scene, render_scene
from varireal.errors import UserError
from varireal_pretraining.judge_net import Judge, JudgeNet
from varireal_pretraining.measure import cell_figures, dilation_of, is_untouched_outside, true_render


def record(folder, **changes):
    facts = {
        "image_id": "trijet/0#0",
        "path": f"{folder}/edit.png",
        "origin": "edit",
        "split": "train",
        "class_name": "trijet",
        "class_index": 2,
        "width": 128,
        "height": 128,
        "sha256": "0" * 64,
        "photo_id": "trijet/0",
        "status": "accepted",
        "mask_path": f"{folder}/mask.png",
        "attribute": "color",
        "feasibility": "infeasible",
        "value": "purple",
        "settings": json.dumps({"recipe": {"dilation": 1}}),
    }
    return ImageRecord(**(facts | changes))


def test_one_pixel_outside_the_region_is_noticed():
    photo = np.zeros((6, 6, 3), np.uint8)
    region = np.zeros((6, 6), bool)
    region[2:4, 2:4] = True
    edit = photo.copy()
    edit[2, 2] = 255
    assert is_untouched_outside(edit, photo, region)
    edit[0, 0, 1] = 1
    assert not is_untouched_outside(edit, photo, region)


def test_the_dilation_comes_from_the_settings(tmp_path):
    assert dilation_of(record(tmp_path)) == 1.0
    with pytest.raises(UserError, match="dilation"):
        dilation_of(record(tmp_path, settings="{}"))


@pytest.mark.parametrize(("attribute", "value"), [("background", "lava"), ("color", "lime"), ("texture", "brick")])
def test_a_true_render_shows_what_was_asked(tmp_path, attribute, value):
    scene = true_render(record(tmp_path, attribute=attribute, value=value)).scene
    assert scene.class_name == "trijet"
    assert {"background": scene.place, "color": scene.color, "texture": scene.material}[attribute] == value


def test_an_unknown_value_is_refused(tmp_path):
    with pytest.raises(UserError, match="beige"):
        true_render(record(tmp_path, value="beige"))


def test_a_cell_of_true_repaints_is_measured(tmp_path):
    before, after = (
        render_scene(Scene("trijet", "blue sky", color, None, None), generator("test measure"), 128)
        for color in ("white", "purple")
    )
    inside = before.mask > 127
    edit = np.where(inside[..., None], after.image, before.image)
    for name, pixels in (("photo", before.image), ("edit", edit), ("prior", before.image), ("mask", before.mask)):
        atomic_write_bytes(tmp_path / f"{name}.png", encode_png(pixels))
    photo = record(tmp_path, image_id="trijet/0", origin="photo", path=f"{tmp_path}/photo.png", status="ok")
    with forked_torch_rng("test measure"):
        judge = Judge(JudgeNet(place=(8, 8), class_=(8, 8), surface=(8, 8)))
    rows = [record(tmp_path, prior_path=f"{tmp_path}/prior.png")]
    figures = cell_figures(rows, {"trijet/0": photo}, judge)
    assert figures["untouched_outside"] == 1.0
    assert figures["asked_nearest_in_lab"] == {"edits": 1.0, "priors": 0.0, "true_renders": 1.0}
    assert figures["count"] == 1 and figures["candidates"] == 22
    with pytest.raises(UserError, match="trijet/0"):
        cell_figures(rows, {}, judge)
