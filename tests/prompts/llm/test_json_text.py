"""Finding the list that was asked for in what models say."""

import json

import pytest

from varireal.prompts.llm.backend import MalformedAnswerError
from varireal.prompts.llm.json_text import read_object

WANTED = {"items": [{"name": "runway", "phrase": "on a runway"}]}
DRAFT = {"items": [{"name": "draft"}]}
TEXT, OLD = json.dumps(WANTED), json.dumps(DRAFT)


@pytest.mark.parametrize(
    "said",
    [
        TEXT,
        f"```json\n{json.dumps(WANTED, indent=2)}\n```",
        f"Sure! The form is {{name, phrase}}, so:\n{TEXT}\nI hope {{this}} helps [1].",
        f"<think>\nI list places.\n</think>\n\n{TEXT}",
        f'<think>The form is {{"items": [...]}}, each {{name, phrase}}.</think>{TEXT}',
        f"<think>First {OLD}, no.</think>{TEXT}",
        f"I begin with {OLD}, no.\n</think>\n{TEXT}",  # the template holds the opening tag
        f"[THINK]{OLD}[/THINK]{TEXT}",
        f"<Reasoning>{OLD}</Reasoning>\n```\n{TEXT}\n```",
        f"◁think▷{OLD}◁/think▷{TEXT}",
        f"<think>{TEXT}</think>\n",  # nothing else came
        f"A draft: {OLD}\nBetter: {TEXT}",
        f'{TEXT}\nThe schema again: {{"type": "object"}} and {{"items": []}}',
        json.dumps(WANTED["items"]),
        f"Here is the list:\n{json.dumps(WANTED['items'])}",
        json.dumps({"answer": {"result": WANTED}}),
        f"<think>a</think><think>{OLD}</think>{TEXT}",
        '{"items": [{"name": "runway", "phrase": "on a runway",},],}',
        f"The form is {{name}}:\n{TEXT[:-3]},\n}} ]\n, }}",
    ],
)
def test_the_last_object_with_the_wanted_list_counts(said):
    assert read_object(said, "items") == WANTED


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("", "the answer is empty"),
        ("I cannot do that.", "holds no JSON object: I cannot"),
        (f"<think>Let me see: {TEXT}", "ends within its reasoning"),
        (f'<think>{OLD}</think>{{"items": [{{"na', "is not valid JSON"),
        ('{"items": [{"name": "runway"}, {"na', "is not valid JSON"),
        ('{"values": [1]}', 'has no list "items"'),
        ('{"items": 3}', 'has no list "items"'),
        ("[1, 2, 3]", "holds no JSON object"),
        ("{" * 50_000, "is not valid JSON"),
        ("[" * 50_000, "holds no JSON object"),
    ],
)
def test_without_one_it_is_said_what_is_wrong(said, problem):
    with pytest.raises(MalformedAnswerError, match=problem) as caught:
        read_object(said, "items")
    assert len(str(caught.value)) < 400


def test_a_loose_comma_makes_no_other_list_the_wanted_one():
    said = f'{TEXT[:-1]}, "left_out": [{{"name": "draft"}}],}}'
    assert read_object(said, "items")["items"] == WANTED["items"]


def test_what_stands_in_quotes_stays_as_it_is():
    said = '{"items": [{"name": "a,]", "phrase": "say \\", }\\"\nand go",}]}'
    assert read_object(said, "items") == {"items": [{"name": "a,]", "phrase": 'say ", }"\nand go'}]}


def test_an_empty_list_is_found_where_there_is_no_other():
    assert read_object('{"items": []}', "items") == {"items": []}
