"""The sentences of the demo CLIP: every question has one answer per class, and sentences are the pipeline's own."""

import numpy as np

from varireal.datasets.world.vocabulary import CLASSES, PLACES
from varireal.prompts.templates import class_prompt, edit_prompt
from varireal_pretraining.sentences import FACTS, FAMILIES, attribute_groups, class_groups, corpus
from varireal_pretraining.views import SURFACES


def test_every_class_has_one_family_and_one_answer_to_each_question():
    for question, answers in {"family": FAMILIES, **FACTS}.items():
        listed = [name for names in answers.values() for name in names]
        assert sorted(listed) == sorted(CLASSES), question


def test_answers_point_at_the_true_sentence():
    groups = class_groups(np.random.default_rng(0))
    trijet, glider = CLASSES.index("trijet"), CLASSES.index("glider")
    assert "three engines" in groups["engines"].sentences[groups["engines"].answer[trijet]]
    assert "no engine" in groups["engines"].sentences[groups["engines"].answer[glider]]
    assert "jetliner" in groups["family"].sentences[groups["family"].answer[trijet]]
    assert "third engine" in groups["structure"].sentences[groups["structure"].answer[trijet]]
    assert "trijet" in groups["class"].sentences[groups["class"].answer[trijet]]


def test_the_sentences_that_the_pipeline_asks_with_occur():
    seen = set()
    for seed in range(200):
        rng = np.random.default_rng(seed)
        for group in (class_groups(rng) | attribute_groups(rng)).values():
            seen.update(group.sentences)
    assert {class_prompt(name, "aircraft") for name in CLASSES} <= seen
    assert any(edit_prompt("background", PLACES["lava"], name, "aircraft") in seen for name in CLASSES)
    assert any(edit_prompt("texture", "brick textured", name, "aircraft") in seen for name in CLASSES)


def test_attribute_groups_list_every_place_and_surface_once():
    groups = attribute_groups(np.random.default_rng(1))
    assert len(set(groups["place"].sentences)) == len(PLACES) == 16
    assert len(set(groups["surface"].sentences)) == len(SURFACES) == 22


def test_the_corpus_holds_every_word_that_is_ever_said():
    known = {word for sentence in corpus() for word in sentence.split()}
    for seed in range(100):
        rng = np.random.default_rng(seed)
        for group in (class_groups(rng) | attribute_groups(rng)).values():
            assert {word for sentence in group.sentences for word in sentence.split()} <= known
