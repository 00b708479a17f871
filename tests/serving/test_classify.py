from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import open_clip
import torch
from PIL import Image
from tests.serving.conftest import CLASSES, SENTENCES, picture

from varireal.config import ComputeConfig
from varireal.serving.adapter import load_merged
from varireal.serving.classify import (
    Classifier,
    RankedClass,
    RankedClasses,
    classes_grid,
    predict_photos,
    rank_classes,
)
from varireal.training.lora import load_adapter


def classifier(adapter) -> Classifier:
    return Classifier(*load_merged(adapter, ComputeConfig(device="cpu")))


def expected(adapter, tiny_clip, images: list[np.ndarray]) -> np.ndarray:
    """The softmax of open_clip's own logits, with the adapter on, every sentence with all its padding."""
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{tiny_clip}")
    adapted = load_adapter(model, adapter)
    tokens = open_clip.get_tokenizer(f"local-dir:{tiny_clip}")(SENTENCES)
    with torch.no_grad():
        batch = torch.stack([transform(Image.fromarray(image)) for image in images])
        cosines = adapted.encode_image(batch, normalize=True) @ adapted.encode_text(tokens, normalize=True).T
        return (model.logit_scale.exp() * cosines).softmax(1).numpy()


def test_probabilities_are_those_of_open_clip_with_the_adapter_on(adapter, tiny_clip):
    images = [picture("a"), picture("b", 90, 31), picture("c", 32, 32)]
    found = classifier(adapter).probabilities(images)
    np.testing.assert_allclose(found, expected(adapter, tiny_clip, images), atol=1e-4)
    np.testing.assert_allclose(found.sum(1), 1)


def test_photos_come_in_their_order_and_a_corrupt_one_stops_no_other(adapter, tiny_clip, photos):
    photos[1].write_bytes(photos[1].read_bytes()[:60])
    found = list(predict_photos(classifier(adapter), photos, top=2))
    assert [answer.photo for answer in found] == photos
    assert found[1].classes == () and f"the image {photos[1]} cannot be read" in found[1].problem
    truth = expected(adapter, tiny_clip, [picture("a.png"), picture("c.png")])
    for answer, row in zip((found[0], found[2]), truth):
        assert [each.index for each in answer.classes] == list(np.argsort(-row)[:2])
        assert [each.name for each in answer.classes] == [CLASSES[index] for index in np.argsort(-row)[:2]]
        np.testing.assert_allclose([each.probability for each in answer.classes], np.sort(row)[::-1][:2], atol=1e-4)


def test_of_equal_probabilities_the_lower_index_comes_first():
    ranked = rank_classes(np.array([0.2, 0.3, 0.2, 0.3]), ("a", "b", "c", "d"), 3)
    assert [(each.name, each.index, each.probability) for each in ranked] == [
        ("b", 1, 0.3),
        ("d", 3, 0.3),
        ("a", 0, 0.2),
    ]


def test_names_of_all_kinds_can_be_printed_and_stored():
    ranked = (RankedClass("cat", 0, 1.0),)
    odd = RankedClasses(Path(os.fsdecode(b"caf\xe9.jpg")), ranked)
    assert odd.as_json()["photo"] == r"caf\udce9.jpg"
    assert RankedClasses(Path("a\nb.jpg"), ranked).as_json()["photo"] == "a\nb.jpg"  # as the file is called
    lines = classes_grid([odd, RankedClasses(Path("a\nb.jpg"), ranked)]).lines
    assert [line.cells[0] for line in lines] == [r"caf\udce9.jpg", r"a\nb.jpg"]
