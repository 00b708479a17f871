"""Captions of training pictures: the pipeline's own sentences, with more or less said."""

from __future__ import annotations

import numpy as np

from varireal.datasets.world.render import Scene
from varireal.datasets.world.vocabulary import CLASSES, COLORS, DOMAIN_WORD, MATERIALS, PLACES
from varireal.prompts.templates import class_prompt, edit_prompt, material_prompt, place_prompt

#: The region that is repainted; it decides what the caption should name.
REGIONS = ("background", "object", "seam", "part", "everything")


def material_phrase(material: str) -> str:
    """Return the words that put a material before a noun: ``"brick" -> "brick textured"``."""
    return f"{material} textured"


def surface_phrase(scene: Scene) -> str:
    """Return the words for what the aircraft wears: its colour, or its material."""
    return scene.color if scene.color is not None else material_phrase(scene.material or "")


def _surface_sentence(phrase: str, class_name: str) -> str:
    return edit_prompt("color", phrase, class_name, DOMAIN_WORD)


def full_sentence(scene: Scene) -> str:
    """Return the caption that names surface, class and place."""
    return edit_prompt("background", PLACES[scene.place], f"{surface_phrase(scene)} {scene.class_name}", DOMAIN_WORD)


def caption(scene: Scene, region: str, rng: np.random.Generator) -> str:
    """Return a caption for repainting a region of a scene.

    What the region shows is nearly always named, the rest sometimes; a second livery colour has no words, so such
    pictures leave the colour out half of the time.
    """
    named = full_sentence(scene)
    place = edit_prompt("background", PLACES[scene.place], scene.class_name, DOMAIN_WORD)
    surface = _surface_sentence(surface_phrase(scene), scene.class_name)
    plain = class_prompt(scene.class_name, DOMAIN_WORD)
    choices = {
        "background": ((place, 0.7), (named, 0.25), (plain, 0.05)),
        "object": ((surface, 0.65), (named, 0.25), (place, 0.05), (plain, 0.05)),
        "seam": ((place, 0.35), (surface, 0.35), (named, 0.2), (plain, 0.1)),
        "part": ((surface, 0.6), (named, 0.25), (place, 0.1), (plain, 0.05)),
        "everything": ((named, 0.6), (place, 0.15), (surface, 0.15), (plain, 0.1)),
    }[region]
    text = choices[rng.choice(len(choices), p=[share for _, share in choices])][0]
    if scene.accent is not None and region != "background" and rng.random() < 0.5:
        return place if region == "everything" or rng.random() < 0.5 else plain
    return text


def corpus() -> list[str]:
    """Return every sentence a demo model may be asked with: the tokenizer's training text, in a fixed order."""
    surfaces = [*COLORS, *(material_phrase(name) for name in MATERIALS)]
    sentences = [class_prompt(name, DOMAIN_WORD) for name in CLASSES]
    places = tuple(PLACES.values())
    sentences += [edit_prompt("background", place, name, DOMAIN_WORD) for name in CLASSES for place in places]
    sentences += [_surface_sentence(surface, name) for name in CLASSES for surface in surfaces]
    sentences += [place_prompt(place) for place in places]
    sentences += [material_prompt(material_phrase(name)) for name in MATERIALS]
    return sentences
