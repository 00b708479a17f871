"""Labels that a segmentation model is asked for name what the photos show, or are refused."""

import pytest

from varireal.config import SegmentConfig
from varireal.segmentation.labels import labels_problem


def problem(labels, word, *classes, **more):
    config = SegmentConfig(source="model", checkpoint="a/b", object_labels=labels, **more)
    return labels_problem(config, word, classes)


@pytest.mark.parametrize(
    ("labels", "word", "classes"),
    [
        (["aircraft"], "aircraft", ["trijet"]),
        (["Cats", "dog"], "pet", ["Siamese cat"]),
        (["car"], "Cars", []),
        (["bird;fowl"], "bird", []),
        (["glass"], "glass", []),
        (["chat"], "", ["chat noir"]),
    ],
)
def test_labels_fit_by_a_word_of_the_photos(labels, word, classes):
    assert problem(labels, word, *classes) is None


@pytest.mark.parametrize("word", ["pet", ""])
def test_labels_of_another_world_are_refused_with_the_ways_out(word):
    said = problem(["aircraft"], word, "Beagle", "Bengal")
    assert said.startswith("segment.object_labels ['aircraft'] name nothing that the photos show by ")
    assert "dataset.masks_root" in said and "segment.labels_for=" in said and "\n" not in said


def test_labels_that_mean_the_domain_word_are_said_to():
    assert problem(["cat", "dog"], "pet", "Beagle") is not None
    assert problem(["cat", "dog"], "pet", "Beagle", labels_for="pet") is None
    assert problem(["cat", "dog"], "car", "Audi", labels_for="pet").startswith("segment.labels_for is 'pet', but")


def test_labels_are_read_by_the_source_model_alone_or_as_fallback():
    asked = {"object_labels": ["aircraft"], "checkpoint": "a/b"}
    assert labels_problem(SegmentConfig(source="dataset", **asked), "pet", []) is None
    assert labels_problem(SegmentConfig(source="dataset", fallback="model", **asked), "pet", []) is not None
