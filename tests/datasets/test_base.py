import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from varireal.datasets.base import MAX_LENGTH, slug, unique_slugs


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("twin-engine jetliner", "twin-engine-jetliner"),
        ("São Paulo", "sao-paulo"),
        ("a/b\\c", "a-b-c"),
        ("British_Shorthair (2)", "british-shorthair-2"),
    ],
)
def test_readable_names_stay_readable(text, expected):
    assert slug(text) == expected


def test_lost_letters_are_made_up_for_by_a_hash():
    assert slug("三毛猫") != slug("柴犬")
    assert re.fullmatch(r"[0-9a-f]{8}", slug("三毛猫"))
    assert re.fullmatch(r"cat-[0-9a-f]{8}", slug("cat 猫"))


@pytest.mark.parametrize("text", ["CON", "nul", "Aux", "com1", "LPT³"])
def test_no_slug_is_the_name_of_a_device(text):
    assert re.fullmatch(r"[a-z]{3}[13]?-[0-9a-f]{8}", slug(text))


def test_composed_and_decomposed_letters_are_the_same_name():
    assert slug("三e\u0301") == slug("三é")


@given(st.text(max_size=300))
def test_any_text_gives_one_safe_path_part(text):
    result = slug(text)
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", result)
    assert len(result) <= MAX_LENGTH + 9


def test_names_that_share_a_slug_are_told_apart_whatever_their_order():
    names = ["A b", "a-b", "c"]
    slugs = unique_slugs(names)
    assert slugs["c"] == "c"
    assert slugs["A b"] != slugs["a-b"]
    assert slugs == unique_slugs(reversed(names))


def test_the_shown_part_of_a_name_decides():
    assert unique_slugs(["x.jpg", "y.png"], shown=lambda name: name[:-4]) == {"x.jpg": "x", "y.png": "y"}
    same = unique_slugs(["x.jpg", "x.png"], shown=lambda name: name[:-4])
    assert len(set(same.values())) == 2
