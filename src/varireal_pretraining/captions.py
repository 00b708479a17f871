"""Captions of the diffusion networks' training pictures, and the tokenizer that is learnt from them alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTokenizer

from varireal.datasets.world.render import Scene
from varireal.datasets.world.vocabulary import CLASSES, COLORS, DOMAIN_WORD, MATERIALS, PLACES
from varireal.prompts.templates import class_prompt, edit_prompt, material_prompt, place_prompt

#: Longest sentence in tokens, start and end included; the longest caption of the rendered world has 20.
MAX_LENGTH = 32
_START, _END, _WORD_END = "<|startoftext|>", "<|endoftext|>", "</w>"

Merge = tuple[str, str]
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


def _words(sentences: Sequence[str]) -> Counter[str]:
    """Count the words as CLIP splits them: lower case, letters, single digits and runs of other signs apart."""
    splitter = CLIPTokenizer(vocab={_END: 0}, merges=[]).backend_tokenizer
    counts: Counter[str] = Counter()
    for text in sentences:
        lowered = splitter.normalizer.normalize_str(text)
        counts.update(word for word, _ in splitter.pre_tokenizer.pre_tokenize_str(lowered))
    return counts


def _merge(symbols: list[str], pair: Merge) -> list[str]:
    merged: list[str] = []
    for symbol in symbols:
        if merged and (merged[-1], symbol) == pair:
            merged[-1] += symbol
        else:
            merged.append(symbol)
    return merged


def learn_bpe(sentences: Sequence[str]) -> tuple[dict[str, int], list[Merge]]:
    """Merge the most frequent pair of symbols until every word of the sentences is one; return vocabulary and merges.

    Ties go to the pair that sorts first, so the result depends on the sentences only. The vocabulary holds all 256
    bytes, inside and at the end of a word, so that any text can be written.
    """
    counts = _words(sentences)
    spelling = {word: [*word[:-1], word[-1] + _WORD_END] for word in counts}
    alphabet = sorted(ByteLevel.alphabet())
    vocabulary = [*alphabet, *(sign + _WORD_END for sign in alphabet)]
    merges: list[Merge] = []
    while True:
        pairs: Counter[Merge] = Counter()
        for word, symbols in spelling.items():
            for pair in pairwise(symbols):
                pairs[pair] += counts[word]
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        vocabulary.append("".join(best))
        spelling = {word: _merge(symbols, best) for word, symbols in spelling.items()}
    vocabulary += [_START, _END]
    return {symbol: index for index, symbol in enumerate(dict.fromkeys(vocabulary))}, merges


def build_tokenizer(sentences: Sequence[str]) -> CLIPTokenizer:
    """Return a CLIPTokenizer that writes each word of the sentences as one token, padded to MAX_LENGTH on request."""
    vocabulary, merges = learn_bpe(sentences)
    settings: dict[str, Any] = {"vocab": vocabulary, "merges": merges}  # its signature forgets that merges are pairs
    return CLIPTokenizer(**settings, model_max_length=MAX_LENGTH, pad_token=_END)
