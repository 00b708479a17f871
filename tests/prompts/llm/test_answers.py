import json

import pytest

from varireal.prompts.llm.answers import excerpt, judgements_schema, proposals_schema, read_judgements, read_proposals
from varireal.prompts.llm.backend import MalformedAnswerError


def objects(schema):
    """Return every object in a schema, at any depth."""
    here = [schema] if schema.get("type") == "object" else []
    below = [*schema.get("properties", {}).values(), *([schema["items"]] if "items" in schema else [])]
    return here + [found for part in below for found in objects(part)]


@pytest.mark.parametrize(
    "schema", [*(proposals_schema(a) for a in ("background", "color", "texture")), judgements_schema()]
)
def test_schemas_suit_strict_mode(schema):
    assert len(objects(schema)) == 2
    for part in objects(schema):
        assert part["additionalProperties"] is False
        assert part["required"] == list(part["properties"])


def items(*values):
    return json.dumps({"items": list(values)})


def test_each_attribute_makes_its_own_phrase():
    place, _ = read_proposals(items({"name": "Alpine Lake", "phrase": "by an alpine lake"}), "background", 1.2)
    color, _ = read_proposals(items({"name": " Navy Blue ", "red": 0, "green": 0, "blue": 128}), "color", 1.3)
    texture, _ = read_proposals(items({"name": "Wood grain", "description": "brown lines"}), "texture", 1.0)
    assert (place[0].name, place[0].phrase, place[0].weight, place[0].rgb) == (
        "Alpine Lake",
        "by an alpine lake",
        1.2,
        None,
    )
    assert (color[0].name, color[0].phrase, color[0].rgb) == ("navy blue", "navy blue", (0, 0, 128))
    assert (texture[0].phrase, texture[0].description) == ("wood grain textured", "brown lines")


@pytest.mark.parametrize(
    ("attribute", "item", "said"),
    [
        ("background", {"name": "sea"}, "phrase is missing"),
        ("color", {"name": "red", "red": 1, "green": 2}, "red, green or blue is missing"),
        ("color", {"name": "red", "red": "1", "green": 2, "blue": 3}, "valid integer"),
        ("texture", {"name": 5}, "valid string"),
        ("texture", {"name": "a/b"}, "file names must not"),
        ("texture", {"name": "x" * 55 + "      y"}, "61 characters|62 characters"),
        ("background", {"name": "sea", "phrase": "x" * 201}, "201 characters"),
        ("background", {"name": "sea", "phrase": "at http://a.example"}, "markup, code or addresses"),
    ],
)  # fmt: skip
def test_an_answer_without_any_usable_value_says_what_was_wrong_with_the_first(attribute, item, said):
    with pytest.raises(MalformedAnswerError, match=said):
        read_proposals(items(item), attribute, 1.0)


@pytest.mark.parametrize(
    "text",
    ['{"judgements": [{"number": 1, "verdict": "maybe", "reason": "x"}]}', '{"judgements": 3}', "{}", "", "null",
     '{"judgements": [{"number": true, "verdict": "feasible"}]}', '{"judgements": []}'],
)  # fmt: skip
def test_judgements_of_another_form_are_malformed(text):
    with pytest.raises(MalformedAnswerError):
        read_judgements(text, 1)


def test_a_verdict_is_one_however_it_is_written():
    judged = '{"judgements": [{"number": 1, "verdict": " Infeasible", "reason": "it\nmelts"}]}'
    assert read_judgements(judged, 1) == [("infeasible", "it melts")]


def test_judgements_come_in_the_order_of_their_numbers():
    judged = [
        {"number": 2, "verdict": "unsure", "reason": "b\x1b[2J"},
        {"number": 1, "verdict": "feasible", "reason": "a"},
    ]
    assert read_judgements(json.dumps({"judgements": judged}), 2) == [("feasible", "a"), ("unsure", "b [2J")]


def test_an_excerpt_is_one_printable_line():
    assert excerpt("a\r\n\x1b[31mb\u202ec" + "d" * 200, 10) == "a [31mb cd..."
