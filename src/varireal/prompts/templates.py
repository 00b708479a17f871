"""The sentences shown to the models; the demo models were trained on the same ones."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Sentence:
    """Holds a sentence for a model that draws, with one part emphasised."""

    text: str
    emphasised: str = ""  # a part of the text; the first one of its spelling is meant
    weight: float = 1.0  # of that part against the rest; 1: as it stands

    def parts(self) -> list[tuple[str, float]]:
        """Return the pieces of the text with their weights, in order; one piece where nothing is emphasised."""
        before, part, after = self.text.partition(self.emphasised) if self.emphasised else (self.text, "", "")
        if self.weight == 1 or not part:
            return [(self.text, 1.0)]
        pieces = [(before, 1.0), (part, self.weight), (after, 1.0)]
        return [(piece.strip(), weight) for piece, weight in pieces if piece.strip()]


def article(noun: str) -> str:
    """Return the noun phrase with its indefinite article, chosen by its first letter."""
    return f"an {noun}" if noun[:1].lower() in "aeiou" else f"a {noun}"


def named_object(class_name: str, domain_word: str) -> str:
    """Return the class name followed by its domain word, once: ``("trijet", "aircraft") -> "trijet aircraft"``."""
    words = class_name.strip()
    return words if not domain_word or words.lower().endswith(domain_word.lower()) else f"{words} {domain_word}"


CLASS_SENTENCE = "a photo of {an object}"


def class_prompt(class_name: str, domain_word: str, template: str = CLASS_SENTENCE) -> str:
    """Return the sentence that stands for a class in CLIP's text tower."""
    return filled(template, class_name, domain_word)


def filled(
    template: str, class_name: str, domain_word: str, name: str = "", phrase: str = "", description: str | None = None
) -> str:
    """Return a sentence with its places filled.

    They are ``{class}`` (the name alone), ``{domain}`` (the domain word), ``{object}`` (both, see
    :func:`named_object`), ``{an object}`` (with its article), ``{name}`` and ``{phrase}`` of an attribute's value, and
    ``{details}``: a colon and the value's longer description, or nothing. A template without that gets the description
    at its end.
    """
    thing = named_object(class_name, domain_word)
    details = f": {description}" if description else ""
    places = {"class": class_name.strip(), "domain": domain_word, "object": thing, "an object": article(thing)}
    text = " ".join(template.format(**places, name=name, phrase=phrase, details=details).split())
    return text if "{details}" in template else described(text, description)


def edit_prompt(attribute: str, phrase: str, class_name: str, domain_word: str) -> str:
    """Return the sentence that an edit is asked for with.

    A background's phrase follows the object ("a trijet aircraft under water"); that of a colour or texture
    comes before it ("a neon pink trijet aircraft", "a brick textured trijet aircraft").
    """
    thing = named_object(class_name, domain_word)
    if attribute == "background":
        return f"a photo of {article(thing)} {phrase}"
    return f"a photo of {article(f'{phrase} {thing}')}"


def place_prompt(phrase: str) -> str:
    """Return the sentence for a picture of the place alone, from which background priors are made."""
    return f"a photo of an empty scene {phrase}"


def material_prompt(phrase: str) -> str:
    """Return the sentence for a close-up of a material, from which texture priors are made."""
    return f"a close-up photo of {article(phrase)} surface"


def described(text: str, description: str | None) -> str:
    """Return the sentence with a value's longer description at its end, where it has one."""
    return f"{text}, {description}" if description else text
