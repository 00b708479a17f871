"""Sentences that the demo CLIP is pretrained on: groups of candidates, one of which is true of a picture.

Web captions seldom use the exact name of a fine-grained class: they say "a jetliner", "a plane with a T-tail",
"a red aircraft on a runway". The groups below imitate that. Structure, place and surface are said of every
picture; the fine class name only ever has to stand out among its siblings for a small share of them (see
``clip.py``), so that names are attached loosely and fine-tuning has something to learn.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from varireal.datasets.world.vocabulary import CLASSES, COLORS, DOMAIN_WORD, MATERIALS, PLACES, STRUCTURE
from varireal.prompts.templates import article, class_prompt, edit_prompt, named_object

#: Coarse name -> the classes it covers; every class belongs to exactly one.
FAMILIES: dict[str, tuple[str, ...]] = {
    "jetliner": ("twin-engine jetliner", "four-engine jetliner", "trijet"),
    "small jet": ("regional jet", "business jet"),
    "propeller plane": ("twin turboprop", "bush plane", "trainer plane", "biplane"),
    "sailplane": ("glider",),
}

_AIRLINERS = FAMILIES["jetliner"]
_SMALL_JETS = FAMILIES["small jet"]

#: Questions about the structure: answer -> the classes it is true of; the answers of a question share the classes.
FACTS: dict[str, dict[str, tuple[str, ...]]] = {
    "engines": {
        "no engine": ("glider",),
        "a single engine": ("bush plane", "trainer plane", "biplane"),
        "two engines": ("twin-engine jetliner", *_SMALL_JETS, "twin turboprop"),
        "three engines": ("trijet",),
        "four engines": ("four-engine jetliner",),
    },
    "propulsion": {
        "engines under the wings": ("twin-engine jetliner", "four-engine jetliner"),
        "engines under the wings and at the fin": ("trijet",),
        "engines at the rear fuselage": _SMALL_JETS,
        "two propellers on the wing": ("twin turboprop",),
        "a propeller on the nose": ("bush plane", "trainer plane", "biplane"),
        "nothing that drives it": ("glider",),
    },
    "wings": {
        "low swept wings": _AIRLINERS + _SMALL_JETS,
        "a high straight wing": ("twin turboprop", "bush plane"),
        "a low straight wing": ("trainer plane",),
        "two stacked wings": ("biplane",),
        "very long thin wings": ("glider",),
    },
    "tail": {
        "a T-tail": (*_SMALL_JETS, "twin turboprop", "glider"),
        "a conventional tail": (*_AIRLINERS, "bush plane", "trainer plane", "biplane"),
    },
}


@dataclass(frozen=True)
class SentenceGroup:
    """Candidate sentences of which exactly one is true of a picture.

    Attributes:
        name: what the sentences tell apart.
        sentences: the candidates.
        answer: class index (or place, or surface index) -> index of the true candidate, int64.
    """

    name: str
    sentences: tuple[str, ...]
    answer: np.ndarray


def family_of_class() -> np.ndarray:
    """Return the index of each class's family in `FAMILIES`, int64 (classes,)."""
    return _answers(FAMILIES)


def class_groups(rng: np.random.Generator) -> dict[str, SentenceGroup]:
    """Return the groups whose answer depends on the class: ``class``, ``family``, ``structure`` and one a fact."""
    identity = np.arange(len(CLASSES))
    names = [class_prompt(name, DOMAIN_WORD) for name in CLASSES]
    if rng.random() < 0.2:
        names = [f"a photo of {article(name)}" for name in CLASSES]
    structure = [f"a photo of an aircraft with {words}" for words in STRUCTURE.values()]
    groups = [
        SentenceGroup("class", _opened(names, rng), identity),
        SentenceGroup("family", _opened([f"a photo of {article(name)}" for name in FAMILIES], rng), family_of_class()),
        SentenceGroup("structure", _opened(structure, rng), identity),
    ]
    for question, answers in FACTS.items():
        sentences = [f"a photo of an aircraft with {answer}" for answer in answers]
        groups.append(SentenceGroup(question, _opened(sentences, rng), _answers(answers)))
    return {group.name: group for group in groups}


def attribute_groups(rng: np.random.Generator) -> dict[str, SentenceGroup]:
    """Return ``place`` and ``surface``; all candidates of a group name the object in the same, random way."""
    place_noun, surface_noun = _any_noun(rng), _any_noun(rng)
    places, surfaces = _place_sentences(place_noun), _surface_sentences(surface_noun)
    return {
        "place": SentenceGroup("place", _opened(places, rng), np.arange(len(places))),
        "surface": SentenceGroup("surface", _opened(surfaces, rng), np.arange(len(surfaces))),
    }


def _place_sentences(noun: str) -> list[str]:
    return [edit_prompt("background", phrase, noun, DOMAIN_WORD) for phrase in PLACES.values()]


def _surface_sentences(noun: str) -> list[str]:
    surfaces = [edit_prompt("color", name, noun, DOMAIN_WORD) for name in COLORS]
    return surfaces + [edit_prompt("texture", f"{name} textured", noun, DOMAIN_WORD) for name in MATERIALS]


#: What the object is called in sentences about place and surface: a kind of name is drawn first, then one of the kind.
_NOUNS = ((DOMAIN_WORD,), tuple(FAMILIES), CLASSES)


def _any_noun(rng: np.random.Generator) -> str:
    names = _NOUNS[int(rng.integers(len(_NOUNS)))]
    return named_object(names[int(rng.integers(len(names)))], DOMAIN_WORD)


def corpus() -> list[str]:
    """Return sentences that hold every word that a group's sentences can hold."""
    nouns = [named_object(name, DOMAIN_WORD) for names in _NOUNS for name in names]
    sentences = [*_OPENINGS, *(class_prompt(name, DOMAIN_WORD) for name in CLASSES)]
    sentences += [f"a photo of {article(name)}" for name in (*CLASSES, *FAMILIES)]
    described = [*STRUCTURE.values(), *(answer for answers in FACTS.values() for answer in answers)]
    sentences += [f"a photo of an aircraft with {words}" for words in described]
    for noun in nouns:
        sentences += _place_sentences(noun) + _surface_sentences(noun)
    return sentences


_OPENINGS = ("a photo of ", "a picture of ", "an image of ", "")


def _opened(sentences: list[str], rng: np.random.Generator) -> tuple[str, ...]:
    """Replace the opening "a photo of " by another one in four draws out of ten."""
    opening = _OPENINGS[int(rng.choice(len(_OPENINGS), p=(0.6, 0.15, 0.1, 0.15)))]
    return tuple(opening + sentence.removeprefix("a photo of ") for sentence in sentences)


def _answers(answers: dict[str, tuple[str, ...]]) -> np.ndarray:
    index = {name: i for i, names in enumerate(answers.values()) for name in names}
    return np.array([index[name] for name in CLASSES])
