"""The CLIP filter: probabilities against the model's own logits, thresholds, and no answer in the question."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from varireal.base.manifest import ImageRecord
from varireal.config import ComputeConfig, FilterConfig
from varireal.editing.filters import FILTERS
from varireal.editing.filters.clip import ClipFilter
from varireal.editing.jobs import EditJob
from varireal.errors import UserError
from varireal.prompts import AttributeSpec, PromptTable

CLASSES = ["jet", "glider"]


def color(name: str, *rgb: int) -> AttributeSpec:
    return AttributeSpec(name=name, phrase=name, rgb=rgb)


TABLE = PromptTable(
    domain_word="aircraft",
    classes=CLASSES,
    attributes={
        "color": {
            "feasible": {name: [color("red", 200, 0, 0), color("white", 250, 250, 250)] for name in CLASSES},
            "infeasible": {name: [color("lime", 100, 250, 0)] for name in CLASSES},
        }
    },
)
SENTENCES = [f"a photo of a {name} jet aircraft" for name in ("red", "white", "lime")]
CLASS_SENTENCES = ["a photo of a jet aircraft", "a photo of a glider aircraft"]
CPU = ComputeConfig(device="cpu")


def job(value: str = "red", feasibility: str = "feasible") -> EditJob:
    photo = ImageRecord("jet/0", "p", "photo", "train", "jet", 0, 8, 8, "0" * 64, "jet/0")
    spec = next(spec for spec in TABLE.all_specs("color", "jet") if spec.name == value)
    return EditJob(photo, "0" * 64, "color", feasibility, 0, spec, "unused", 0)


class KnownClip:
    """A CLIP whose picture features are given by the picture's first pixel and whose texts are unit vectors."""

    logit_scale = 2.0

    def __init__(self) -> None:
        self.encoded: list[list[str]] = []

    def encode_images(self, images):
        import torch

        return torch.tensor([[float(value) / 100 for value in image[0, 0]] for image in images])

    def encode_texts(self, sentences):
        import torch

        self.encoded.append(list(sentences))
        return torch.eye(3)[: len(sentences)]


def known_filter(monkeypatch: pytest.MonkeyPatch, tiny_clip: Path, **settings: float) -> tuple[ClipFilter, KnownClip]:
    clip = KnownClip()
    monkeypatch.setattr("varireal.editing.filters.clip.load_clip", lambda *args: clip)
    config = FilterConfig(name="clip", model=f"local-dir:{tiny_clip}", **settings)
    return ClipFilter(config, CPU, TABLE), clip


def image(*values: int) -> np.ndarray:
    return np.full((4, 4, 3), values, np.uint8)


def softmax(logits: list[float]) -> np.ndarray:
    exponents = np.exp(np.array(logits))
    return exponents / exponents.sum()


def test_scores_are_softmax_probabilities_with_the_model_s_scale(monkeypatch, tiny_clip) -> None:
    judge, clip = known_filter(monkeypatch, tiny_clip)
    [verdict] = judge.check([image(100, 50, 0)], [job("white")])
    assert verdict.scores["attribute"] == pytest.approx(softmax([2.0, 1.0, 0.0])[1], abs=1e-6)
    assert verdict.scores["class"] == pytest.approx(softmax([2.0, 1.0])[0], abs=1e-6)
    assert clip.encoded == [SENTENCES, CLASS_SENTENCES]


def test_the_questions_do_not_depend_on_the_answer_and_are_encoded_once(monkeypatch, tiny_clip) -> None:
    judge, clip = known_filter(monkeypatch, tiny_clip)
    judge.check([image(100, 0, 0)] * 3, [job("red"), job("white"), job("lime", "infeasible")])
    judge.check([image(0, 100, 0)], [job("lime", "infeasible")])
    assert clip.encoded == [SENTENCES, CLASS_SENTENCES]


@pytest.mark.parametrize(
    ("attribute_threshold", "class_threshold", "accepted"),
    [(0.66, 0.73, True), (0.67, 0.0, False), (0.0, 0.74, False)],  # the scores are 0.665 and 0.731
)
def test_both_thresholds_must_be_reached(
    monkeypatch, tiny_clip, attribute_threshold: float, class_threshold: float, accepted: bool
) -> None:
    judge, _ = known_filter(
        monkeypatch, tiny_clip, attribute_threshold=attribute_threshold, class_threshold=class_threshold
    )
    [verdict] = judge.check([image(100, 50, 0)], [job("red")])
    assert verdict.accepted is accepted
    assert judge.thresholds == {"attribute": attribute_threshold, "class": class_threshold}


def test_an_attempt_that_lost_its_class_ranks_below_every_other(monkeypatch, tiny_clip) -> None:
    judge, _ = known_filter(monkeypatch, tiny_clip, attribute_threshold=1.0, class_threshold=0.5)
    strong, weak = judge.check([image(100, 200, 0), image(120, 100, 250)], [job("white"), job("white")])
    assert strong.scores["attribute"] > weak.scores["attribute"]
    assert strong.scores["class"] < 0.5 < weak.scores["class"]
    assert strong.quality < weak.quality


def test_a_real_clip_gives_the_probabilities_of_its_own_logits(tiny_clip) -> None:
    import torch

    from varireal.networks.clip import load_clip

    judge = ClipFilter(FilterConfig(name="clip", model=f"local-dir:{tiny_clip}"), CPU, TABLE)
    pictures = [np.random.default_rng(k).integers(0, 256, (40, 30, 3), dtype=np.uint8) for k in range(2)]
    verdicts = judge.check(pictures, [job("red"), job("lime", "infeasible")])
    clip = load_clip(f"local-dir:{tiny_clip}", None)
    with torch.no_grad():
        inputs = clip.normalise(torch.from_numpy(np.stack([clip.resize(picture) for picture in pictures])))
        logits, _ = clip.model.get_logits(inputs, clip.tokenizer(SENTENCES))
    expected = logits.softmax(-1)
    assert verdicts[0].scores["attribute"] == pytest.approx(expected[0, 0].item(), abs=1e-5)
    assert verdicts[1].scores["attribute"] == pytest.approx(expected[1, 2].item(), abs=1e-5)


def test_the_identity_names_model_thresholds_and_candidates(tiny_clip) -> None:
    def identity(table: PromptTable = TABLE, **settings: float) -> dict:
        return ClipFilter(FilterConfig(name="clip", model=f"local-dir:{tiny_clip}", **settings), CPU, table).identity

    fewer = TABLE.model_copy(update={"attributes": {"color": {"feasible": TABLE.attributes["color"]["feasible"]}}})
    found = [identity(), identity(attribute_threshold=0.1), identity(class_threshold=0.1), identity(fewer)]
    assert identity() == found[0]
    assert len({str(one) for one in found}) == 4
    assert identity(max_attempts=9) == found[0]  # how often an edit is tried does not change a verdict


def test_a_missing_folder_is_noticed_at_once() -> None:
    with pytest.raises(UserError, match="nowhere"):
        ClipFilter(FilterConfig(name="clip", model="local-dir:nowhere"), CPU, TABLE)


def test_no_filter_accepts_everything() -> None:
    judge = FILTERS["none"](FilterConfig(name="none"), CPU, TABLE)
    verdicts = judge.check([image(0, 0, 0)] * 2, [job(), dataclasses.replace(job(), index=1)])
    assert [verdict.accepted for verdict in verdicts] == [True, True]
    assert judge.identity == {"name": "none"} and judge.thresholds == {}
