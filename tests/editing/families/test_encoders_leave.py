"""Text encoders of every family leave memory once all is embedded, but for one that looks at each photo too."""

from __future__ import annotations

import numpy as np
import pytest
from tests.editing.families.test_families import SETTINGS, make_inpainter
from tests.editing.tiny_flow_pipelines import SIDES

from varireal.prompts.templates import Sentence

KNOWN, OTHER = [Sentence("a red jet"), Sentence("a photo of a very blue jet")], [Sentence("a lime jet")] * 2


def test_encoders_leave_and_pictures_are_the_same(kind, checkpoint) -> None:
    side, rng = SIDES[kind], np.random.default_rng(0)
    given = {
        "pictures": list(rng.integers(0, 256, (2, side, side, 3), dtype=np.uint8)),
        "masks": [np.ones((side, side), bool)] * 2,
        "seeds": [3, 4],
    }
    plain, model = make_inpainter(kind, checkpoint), make_inpainter(kind, checkpoint)
    model.expect(KNOWN)
    model.load(2.0)
    stays = kind == "qwen_image"
    encoders = [part for name, part in model._pipeline.pipe.components.items() if "text_encoder" in name]
    assert [part is not None for part in encoders] == [stays] * len(encoders)
    for sentences in (KNOWN, OTHER):  # the latter load them again
        expected = plain.paint(**given, sentences=sentences, **SETTINGS)
        painted = model.paint(**given, sentences=sentences, **SETTINGS)
        assert all(np.array_equal(one, other) for one, other in zip(expected, painted))
    assert model._pipeline.pipe.text_encoder is not None


@pytest.mark.parametrize("kind", ["flux2"], indirect=True)
def test_they_stay_where_the_embeddings_of_a_cell_are_too_large(kind, checkpoint, monkeypatch) -> None:
    monkeypatch.setattr("varireal.editing.families.prompts.KEPT_BYTES", 1)
    model = make_inpainter(kind, checkpoint)
    model.expect(KNOWN)
    model.load(2.0)
    assert model._pipeline.pipe.text_encoder is not None
