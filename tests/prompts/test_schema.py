import json

import pytest
from pydantic import ValidationError

from varireal.base.files import write_json
from varireal.errors import UserError
from varireal.prompts import AttributeSpec, PromptTable, load_prompts


def spec(name, phrase=None, **fields):
    return {"name": name, "phrase": phrase or f"on {name}", **fields}


def table(**changes):
    lists = {
        "background": {
            "feasible": {"cat": [spec("grass"), spec("sofa")], "dog": [spec("grass")]},
            "infeasible": {"cat": [spec("lava")], "dog": [spec("moon"), spec("lava")]},
        },
        "color": {"feasible": {name: [spec("red", rgb=[200, 10, 10])] for name in ("cat", "dog")}},
    }
    lists.update(changes)
    return PromptTable.model_validate({"domain_word": "pet", "classes": ["cat", "dog"], "attributes": lists})


def names(specs):
    return [value.name for value in specs]


def test_lists_are_kept_in_order_by_cell_and_class():
    assert names(table().specs("background", "feasible", "cat")) == ["grass", "sofa"]
    assert names(table().specs("background", "infeasible", "dog")) == ["moon", "lava"]


def test_all_values_are_those_of_both_feasibilities_once_each():
    assert names(table().all_specs("background")) == ["grass", "sofa", "lava", "moon"]
    assert names(table().all_specs("background", "dog")) == ["grass", "moon", "lava"]
    assert table().all_specs("texture") == []


def test_a_cell_that_is_not_there_is_named():
    with pytest.raises(UserError, match="no texture list, feasible, for the class 'cat'"):
        table().specs("texture", "feasible", "cat")


def test_json_and_back_gives_the_same_table(tmp_path):
    write_json(tmp_path / "prompts.json", table().to_json())
    assert load_prompts(tmp_path / "prompts.json") == table()
    assert table().specs("color", "feasible", "cat")[0].rgb == (200, 10, 10)


@pytest.mark.parametrize("content", ["[]", "{}", '{"domain_word": "x"}', "no json"])
def test_a_spoilt_file_is_named(tmp_path, content):
    path = tmp_path / "prompts.json"
    path.write_text(content)
    with pytest.raises(UserError, match=r"prompts\.json.*dvc repro"):
        load_prompts(path)


@pytest.mark.parametrize(
    ("lists", "said"),
    [
        ({"feasible": {"cat": [spec("a")]}}, "background.feasible has no list for the class 'dog'"),
        ({"feasible": {"cat": [spec("a")], "dog": []}}, "at least 1 item"),
        ({"feasible": {"cat": [spec("a"), spec("A", "x")], "dog": [spec("a")]}}, "name 'a' 2 times"),
        ({"feasible": {"cat": [spec("a"), spec("b", "on A")], "dog": [spec("a")]}}, "phrase 'on a' 2 times"),
        (
            {
                "feasible": {"cat": [spec("a", "x")], "dog": [spec("b")]},
                "infeasible": {"cat": [spec("a", "y")], "dog": [spec("c")]},
            },
            "name 'a' 2 times for the class 'cat', counting feasible and infeasible",
        ),
        ({"feasible": {"cat": [spec("a", rgb=[1, 2, 3])], "dog": [spec("a")]}}, "must not have rgb"),
    ],
)
def test_lists_that_cannot_be_used_are_refused(lists, said):
    with pytest.raises(ValidationError, match=said):
        table(background=lists)


def test_a_value_may_be_feasible_for_one_class_and_infeasible_for_another():
    lists = {
        "feasible": {"cat": [spec("sofa")], "dog": [spec("kennel")]},
        "infeasible": {"cat": [spec("kennel")], "dog": [spec("sofa")]},
    }
    assert names(table(background=lists).all_specs("background")) == ["sofa", "kennel"]


def test_a_colour_needs_its_rgb():
    with pytest.raises(ValidationError, match="the color 'red' needs rgb"):
        table(color={"feasible": {name: [spec("red")] for name in ("cat", "dog")}})


@pytest.mark.parametrize(
    "fields",
    [
        spec("a\nb"), spec("../../etc/passwd"), spec("x" * 61), spec(""), spec("a", "ends with space "),
        spec("a", "b\x1b[2J"), spec("a", "x" * 201), spec("a", description="line\nbreak"), spec("a", picture="../b"),
        spec("a", weight=0), spec("a", weight=float("nan")), spec("a", weight="1"), spec("a", rgb=[0, 0, 256]),
        spec("a", rgb=[0, 0]), spec("a", rgb=[0.5, 0, 0]), spec("a", unknown=1), {"name": "a"}, {"phrase": "a"},
        spec(True),
    ],
)  # fmt: skip
def test_hostile_or_wrong_fields_are_refused(fields):
    with pytest.raises(ValidationError):
        AttributeSpec.model_validate(fields)


def test_json_holds_plain_values():
    assert json.loads(json.dumps(table().to_json()))["classes"] == ["cat", "dog"]
