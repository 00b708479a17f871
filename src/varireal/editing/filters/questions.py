"""The yes/no questions about an edited picture. Which answer is hoped for is nowhere in them.

A picture is asked whether it shows what was asked for (``attribute``), whether it is still of its class (``class``),
and whether what it shows could be real (``possibility``). The last names no value, so that the answer has to come from
the picture, and it is the same for feasible and infeasible edits.
"""

from __future__ import annotations

from varireal.base.manifest import Attribute
from varireal.prompts.templates import article, named_object

INSTRUCTION = "Answer with yes or no."
_POSSIBLE: dict[Attribute, str] = {
    "background": "be in a place like the one in this image",
    "color": "have a color like the one in this image",
    "texture": "have a surface like the one in this image",
}


def ask(attribute: Attribute, phrase: str, class_name: str, domain_word: str) -> dict[str, str]:
    """Return the questions by name, for a value's phrase ("under water", "navy blue", "brick textured")."""
    subject = domain_word.strip() or "main object"
    thing = named_object(class_name, domain_word)
    texts = {
        "attribute": f"Is the {subject} in this image {phrase}?",
        "class": f"Is this a photo of {article(thing)}?",
        "possibility": f"Could a real {thing} {_POSSIBLE[attribute]}?",
    }
    return {name: f"{text} {INSTRUCTION}" for name, text in texts.items()}
