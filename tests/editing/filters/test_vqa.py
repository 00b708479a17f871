"""The filter `vqa`: its questions, its verdicts from known answers, and whole runs with tiny models."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from tests.editing.filters.tiny_vlms import KINDS

from varireal.base.manifest import ATTRIBUTES, ImageRecord
from varireal.config import ComputeConfig, FilterConfig
from varireal.editing.filters import FILTERS
from varireal.editing.filters.vqa import INSTRUCTION, VqaFilter, ask
from varireal.editing.jobs import EditJob
from varireal.errors import UserError
from varireal.prompts import AttributeSpec, PromptTable
from varireal.store import content_key

CPU = ComputeConfig(device="cpu")
CLASSES = ["jet", "glider"]
PHRASES = {"red": "bright red", "lime": "lime", "lava": "on a lava field", "runway": "on a runway"}
LEVELS = {"red": (200, 0, 0), "lime": (100, 250, 0)}


def spec(name: str, phrase: str | None = None) -> AttributeSpec:
    return AttributeSpec(name=name, phrase=phrase or PHRASES[name], rgb=LEVELS.get(name))


def table(**phrases: str) -> PromptTable:
    values = {"color": ("red", "lime"), "background": ("runway", "lava")}
    attributes = {
        attribute: {
            feasibility: {name: [spec(value, phrases.get(value))] for name in CLASSES}
            for feasibility, value in zip(("feasible", "infeasible"), pair)
        }
        for attribute, pair in values.items()
    }
    return PromptTable(domain_word="aircraft", classes=CLASSES, attributes=attributes)


def job(value: str = "red", class_name: str = "jet") -> EditJob:
    attribute = "color" if value in LEVELS else "background"
    feasibility = "feasible" if value in ("red", "runway") else "infeasible"
    photo = ImageRecord("a/0", "p", "photo", "train", class_name, CLASSES.index(class_name), 8, 8, "0" * 64, "a/0")
    return EditJob(photo, "0" * 64, attribute, feasibility, 0, spec(value), "unused", 0)


def picture(seed: int, height: int = 40, width: int = 30) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def build(folder: Path, compute: ComputeConfig = CPU, prompts: PromptTable | None = None, **settings) -> VqaFilter:
    config = FilterConfig(name="vqa", model=str(folder), **{"class_threshold": 0.5, **settings})
    return FILTERS["vqa"](config, compute, prompts or table())


def answering(judge: VqaFilter, monkeypatch: pytest.MonkeyPatch, *answers: float) -> list[str]:
    """Let the model answer with these probabilities of yes, in turn; return the list that the questions go into."""
    asked: list[str] = []

    said = itertools.cycle(answers)

    def say(images, questions):
        asked.extend(itertools.chain(*questions))
        return [list(itertools.islice(said, len(texts))) for texts in questions]

    monkeypatch.setattr(judge._model, "answers", say)
    return asked


def test_questions_name_the_value_and_the_class_where_they_are_about_them() -> None:
    assert ask("background", "on a lava field", "trijet", "aircraft") == {
        "attribute": "Is the aircraft in this image on a lava field? Answer with yes or no.",
        "class": "Is this a photo of a trijet aircraft? Answer with yes or no.",
        "possibility": "Could a real trijet aircraft be in a place like the one in this image? Answer with yes or no.",
    }
    assert ask("color", "lime", "Abyssinian", "")["attribute"].startswith("Is the main object in this image lime?")
    assert ask("texture", "brick textured", "Abyssinian", "pet")["class"].startswith(
        "Is this a photo of an Abyssinian pet"
    )


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_a_question_tells_nothing_about_the_answer_that_is_hoped_for(attribute: str) -> None:
    feasible, infeasible = (ask(attribute, phrase, "jet", "aircraft") for phrase in ("white", "neon pink"))
    assert feasible["possibility"] == infeasible["possibility"] and feasible["class"] == infeasible["class"]
    assert feasible["attribute"].replace("white", "neon pink") == infeasible["attribute"]
    for text in (*feasible.values(), *infeasible.values()):
        words = text.removesuffix(INSTRUCTION).lower()
        assert not {"yes", "no", "not", "feasible", "infeasible", "impossible"} & set(words.replace("?", " ").split())


def test_possibility_is_scored_by_the_answer_that_the_feasibility_expects(tiny_vlm, monkeypatch) -> None:
    judge = build(tiny_vlm("llava_next"))
    asked = answering(judge, monkeypatch, 0.9, 0.8, 0.3)
    feasible, infeasible = judge.check([picture(0)] * 2, [job("red"), job("lime")])
    assert feasible.scores == {"attribute": 0.9, "class": 0.8, "possibility": 0.3}
    assert infeasible.scores == {"attribute": 0.9, "class": 0.8, "possibility": pytest.approx(0.7)}
    assert (feasible.accepted, infeasible.accepted) == (False, True)
    assert asked == [
        *ask("color", "bright red", "jet", "aircraft").values(),
        *ask("color", "lime", "jet", "aircraft").values(),
    ]


@pytest.mark.parametrize(
    ("attribute", "class_", "possibility", "accepted"),
    [(0.6, 0.7, 0.8, True), (0.61, 0.7, 0.8, False), (0.6, 0.71, 0.8, False), (0.6, 0.7, 0.81, False), (0, 0, 0, True)],
)
def test_each_question_has_its_own_threshold(
    attribute: float, class_: float, possibility: float, accepted: bool, tiny_vlm, monkeypatch
) -> None:
    judge = build(
        tiny_vlm("llava_next"),
        attribute_threshold=attribute, class_threshold=class_, possibility_threshold=possibility,
    )  # fmt: skip
    answering(judge, monkeypatch, 0.6, 0.7, 0.8)
    assert judge.thresholds == {"attribute": attribute, "class": class_, "possibility": possibility}
    assert [verdict.accepted for verdict in judge.check([picture(0)], [job("red")])] == [accepted]


def test_by_the_study_s_rule_half_of_the_answers_are_enough(tiny_vlm, monkeypatch) -> None:
    judge = build(tiny_vlm("smolvlm"), rule="mean", class_threshold=0.0)
    answering(judge, monkeypatch, 0.1, 0.2, 0.9)  # not there, perhaps no jet, but possible
    feasible, infeasible = (judge.check([picture(0)], [job(value)])[0].accepted for value in ("red", "lime"))
    assert feasible and not infeasible
    strict = build(tiny_vlm("smolvlm"), class_threshold=0.0)
    answering(strict, monkeypatch, 0.1, 0.2, 0.9)
    assert not strict.check([picture(0)], [job("red")])[0].accepted
    assert content_key(judge.identity) != content_key(strict.identity)


def test_attempts_rank_by_questions_passed_and_then_by_their_scores(tiny_vlm, monkeypatch) -> None:
    judge = build(tiny_vlm("llava_next"))
    answering(judge, monkeypatch, 0.5, 0.5, 0.5, 0.4, 0.9, 0.9, 0.45, 0.9, 0.9, 0.1, 0.1, 0.99)
    passed, weak, better, worst = judge.check([picture(0)] * 4, [job("red")] * 4)
    assert passed.quality > better.quality > weak.quality > worst.quality


def test_a_question_that_does_not_count_chooses_no_attempt(tiny_vlm, monkeypatch) -> None:
    """Two attempts that fail both counted questions: 0.5 of 0.2 and 0.4 against 0.5 of 0.3 and 0.4."""
    judge = build(tiny_vlm("llava_next"), rule="mean", class_threshold=0.0)
    answering(judge, monkeypatch, 0.2, 0.99, 0.4, 0.3, 0.01, 0.4)
    first, second = judge.check([picture(0)] * 2, [job("red")] * 2)
    assert not first.accepted and not second.accepted
    assert (first.quality, second.quality) == (pytest.approx(0.3 - 2), pytest.approx(0.35 - 2))
    assert first.scores["class"] == 0.99  # it is asked all the same, for whoever reads the scores


def test_where_no_question_counts_all_of_them_rank(tiny_vlm, monkeypatch) -> None:
    judge = build(tiny_vlm("llava_next"), attribute_threshold=0, class_threshold=0, possibility_threshold=0)
    answering(judge, monkeypatch, 0.2, 0.9, 0.4)
    assert judge.check([picture(0)], [job("red")])[0].quality == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("yes", "accepted", "another"),
    [
        ((0.9, 0.9, 0.1), False, False),  # seen and of its class, but no such thing could be: nor in the next picture
        ((0.4, 0.9, 0.1), False, True),
        ((0.4, 0.9, 0.9), False, True),
        ((0.9, 0.4, 0.1), False, True),
    ],
)
def test_what_failed_as_impossible_alone_is_not_worth_another_picture(yes, accepted, another, tiny_vlm, monkeypatch):
    judge = build(tiny_vlm("llava_next"))
    answering(judge, monkeypatch, *yes)
    [answer] = judge.check([picture(0)], [job("red")])
    assert (answer.accepted, judge.worth_another(answer)) == (accepted, another)
    assert build(tiny_vlm("llava_next"), repaint_impossible=True).worth_another(answer)


def test_by_the_rule_of_the_study_what_is_only_impossible_passes(tiny_vlm, monkeypatch) -> None:
    judge = build(tiny_vlm("llava_next"), rule="mean", class_threshold=0.0)
    answering(judge, monkeypatch, 0.9, 0.9, 0.1, 0.1, 0.9, 0.1)
    passed, neither = judge.check([picture(0)] * 2, [job("red")] * 2)
    assert passed.accepted and not neither.accepted and judge.worth_another(neither)


@pytest.mark.parametrize("kind", KINDS)
def test_real_models_judge_whole_batches_as_they_judge_one_picture(kind: str, tiny_vlm) -> None:
    jobs = [job("red"), job("lime", "glider"), job("lava"), job("runway", "glider")]
    pictures = [picture(0), picture(1, 64, 64), picture(2, 20, 70), picture(3)]
    together = build(tiny_vlm(kind), batch_size=5).check(pictures, jobs)
    judge = build(tiny_vlm(kind), batch_size=1)
    for verdict, image, one in zip(together, pictures, jobs):
        [alone] = judge.check([image], [one])
        assert verdict.scores == pytest.approx(alone.scores, abs=1e-4)
        texts = ask(one.attribute, one.spec.phrase, one.photo.class_name, "aircraft")
        said = dict(zip(texts, judge._model.yes_probabilities([image] * 3, list(texts.values()))))
        expected = said["possibility"] if one.feasibility == "feasible" else 1 - said["possibility"]
        assert alone.scores == pytest.approx({**said, "possibility": expected}, abs=1e-6)


def test_the_identity_holds_what_decides_a_verdict_and_nothing_else(tiny_vlm) -> None:
    folder = tiny_vlm("llava_next")
    found = [
        build(folder),
        build(tiny_vlm("qwen2_5_vl")),
        build(folder, attribute_threshold=0.4),
        build(folder, class_threshold=0.4),
        build(folder, possibility_threshold=0.4),
        build(folder, compute=ComputeConfig(device="cpu", dtype="bfloat16")),
        build(folder, prompts=table().model_copy(update={"domain_word": "plane"})),
    ]
    keys = [content_key(judge.identity) for judge in found]
    assert len(set(keys)) == len(keys)
    assert content_key(build(folder, batch_size=3, max_attempts=9).identity) == keys[0]


def test_a_phrase_that_stands_for_a_picture_is_refused(tiny_vlm) -> None:
    with pytest.raises(UserError, match="'in <image> fog' holds <image>"):
        build(tiny_vlm("llava_next"), prompts=table(lava="in <image> fog"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "filter vqa needs a model"),
        ({"model": "local-dir:models/demo/clip"}, "are open_clip's"),
        ({"model": "a/b", "pretrained": "openai"}, "pretrained to null"),
        ({"model": "a/b", "possibility_threshold": 1.5}, "less than or equal to 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        FilterConfig(name="vqa", **settings)
