"""Sentences: our own, and templates of a user's."""

from __future__ import annotations

import pytest

from varireal.config import ClipConfig, PromptConfig
from varireal.prompts.schema import AttributeSpec, PromptTable
from varireal.prompts.templates import class_prompt

STUDY = {  # as its code writes them
    "background": "a high quality photo that {domain} {class} is harmonious on the {name}{details}",
    "color": "a high quality photo of {domain} {class} with {name}, color change.",
}


def table(sentences: dict[str, str]) -> PromptTable:
    return PromptTable(domain_word="pet", classes=[], attributes={}, sentences=sentences)


PARK = AttributeSpec(name="park", phrase="city park", description="a lawn")
LIME = AttributeSpec(name="lime", phrase="lime", rgb=[0, 255, 0])


def test_sentences_are_our_own_unless_templates_take_their_place():
    own, study = table({}), table(STUDY)
    assert own.sentence("background", PARK, "Abyssinian") == "a photo of an Abyssinian pet city park, a lawn"
    assert study.sentence("background", PARK, "Abyssinian") == (
        "a high quality photo that pet Abyssinian is harmonious on the park: a lawn"
    )
    assert study.sentence("color", LIME, "Beagle") == "a high quality photo of pet Beagle with lime, color change."
    assert study.sentence("texture", LIME, "Beagle") == own.sentence("texture", LIME, "Beagle")
    described = table({"color": "{an object} in {phrase}"}).sentence("color", PARK, "Abyssinian")
    assert described == "an Abyssinian pet in city park, a lawn"  # no {details}: at the end, as in ours


def test_a_table_without_templates_is_written_as_before():
    assert "sentences" not in table({}).to_json()
    assert PromptTable.model_validate(table(STUDY).to_json()).sentences == STUDY


def test_the_class_sentence_is_a_template_too():
    assert class_prompt("egyptian mau", "pet") == "a photo of an egyptian mau pet"
    assert class_prompt("Egyptian Mau", "pet", "a {domain} photo of a {class}") == "a pet photo of a Egyptian Mau"
    assert class_prompt("{x}", "", "a {domain} photo of {object}") == "a photo of {x}"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("a photo of a {klass}", r"has the place \{klass\}; allowed are \{class\}, \{domain\}, \{object\}, \{an o"),
        ("a photo of a {}", r"has the place \{\}"),
        ("a photo", r"has none of \{class\}, \{object\}, \{an object\}, so that it says the same of all"),
        ("a photo of a {class", r"is no template \(expected '\}' before end of string\)"),
        ("a photo of a {class!r}", r"has a place with a format"),
        ("a photo of\na {class}", r"has the control character U\+000A"),
    ],
)  # fmt: skip
def test_a_wrong_template_says_what_is_allowed(template, message):
    with pytest.raises(ValueError, match=message):
        ClipConfig(sentence=template)
    with pytest.raises(ValueError, match=r"\{phrase\}|\{name\}|is no template|format|control"):
        PromptConfig(bank="x", sentences={"color": template})
