from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml

from varireal.config import AnchorConfig, EvaluateConfig
from varireal.evaluation.anchors import Gate, class_features
from varireal.networks.clip import load_clip

REPOSITORY = Path(__file__).parents[2]
KNOWN = {"oxford_pets": (88.86, 3669, 1), "fgvc_aircraft": (24.21, 3333, 2), "stanford_cars": (64.77, 8041, 8)}


@pytest.mark.parametrize("name", KNOWN)
def test_the_published_data_sets_name_their_anchors(name):
    text = (REPOSITORY / "conf" / "dataset" / f"{name}.yaml").read_text()
    evaluate = EvaluateConfig(**yaml.safe_load(text)["evaluate"])
    (anchor,) = evaluate.anchors
    assert (anchor.top1, anchor.images, len(anchor.templates)) == KNOWN[name]
    for model in ("ViT-B-16-quickgelu", "ViT-B-16"):
        assert evaluate.anchor(model, "openai", anchor.images) is anchor
    assert evaluate.anchor("ViT-B-16", "laion400m_e32", anchor.images) is None
    assert evaluate.anchor("ViT-B-32", "openai", anchor.images) is None
    assert evaluate.anchor("ViT-B-16", "openai", anchor.images - 1) is None  # a part of the split


@pytest.mark.parametrize(("found", "passed"), [(88.86, True), (86.9, True), (90.8, True), (86.8, False), (91.0, False)])
def test_two_points_are_allowed(found, passed):
    gate = Gate(88.86, found, 2.0)
    assert gate.passed is passed and json.loads(json.dumps(gate.as_json()))["passed"] is passed


def test_a_template_has_one_place_for_the_name():
    with pytest.raises(ValueError, match=r"one \{\} each"):
        AnchorConfig(models=["a"], pretrained=None, images=1, top1=1, templates=["a photo"])


def test_a_class_is_the_direction_of_its_sentences_mean(tiny_clip):
    clip = load_clip(f"local-dir:{tiny_clip}", None)
    found = class_features(clip, ["jet", "glider"], ["a photo of a {}.", "a {}"])
    sentences = clip.encode_texts(["a photo of a glider.", "a glider"])
    mean = sentences[0] + sentences[1]
    torch.testing.assert_close(found[1], mean / mean.norm())
    torch.testing.assert_close(class_features(clip, ["jet"], ["a {}"]), clip.encode_texts(["a jet"]))
