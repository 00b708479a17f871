"""Figures of the demo CLIP, with towers that are known to see the answer or nothing."""

import numpy as np
import pytest
import torch

from varireal.base.seeding import generator
from varireal.datasets.world.render import Scene
from varireal.datasets.world.vocabulary import CLASSES, PLACES
from varireal_pretraining.clip_figures import filter_figures, photo_figures
from varireal_pretraining.images import RenderedSet


class Seer:
    """Encodes a picture as its first pixels say and a sentence by the words it holds."""

    def __init__(self, words):
        self.words = words

    def encode_images(self, images):
        return torch.from_numpy(np.stack([image[0, : len(self.words), 0] for image in images])).float()

    def encode_texts(self, sentences):
        return torch.tensor([[float(word in sentence) for word in self.words] for sentence in sentences])


def scenes_of(words, named):
    """Pictures whose first pixels mark, among ``words``, the one of each scene."""
    rng = generator("test clip figures")
    scenes, images = [], rng.integers(0, 1, (len(named), 128, 128, 3), np.uint8)
    for image, (scene, word) in zip(images, named, strict=True):
        scenes.append(scene)
        image[0, words.index(word), 0] = 1
    return RenderedSet(images, images[..., 0], scenes, np.ones(len(scenes), bool))


def test_a_clip_that_reads_the_place_is_right_about_all_places():
    named = [(Scene("trijet", place, "red", None, None), phrase) for place, phrase in PLACES.items()]
    named.append((Scene("glider", "lava", None, "brick", None), PLACES["lava"]))
    words = list(PLACES.values())
    figures = filter_figures(Seer(words), scenes_of(words, named))
    assert figures["background"] == 1.0
    assert figures["color"] == 0.0  # blind to colours: all equally likely, the first name is white


def test_a_clip_that_confuses_siblings_is_right_about_their_family():
    scenes = [Scene(name, "runway", "red", None, None) for name in CLASSES]
    named = [(scene, "twin-engine jetliner") for scene in scenes]
    words = list(CLASSES)
    figures = photo_figures(Seer(words), scenes_of(words, named))
    assert figures["top1"] == pytest.approx(0.1)
    assert figures["family_top1"] == pytest.approx(0.3)
    assert figures["top1_per_class"]["trijet"] == 0.0 and figures["top1_per_class"]["twin-engine jetliner"] == 1.0
