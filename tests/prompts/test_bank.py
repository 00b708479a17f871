import logging
import unicodedata
from pathlib import Path

import pytest
import yaml

from varireal.base.manifest import ATTRIBUTES, FEASIBILITIES
from varireal.config import ComputeConfig, PromptConfig
from varireal.datasets.world.vocabulary import (
    CLASSES,
    COLORS,
    FEASIBLE_COLORS,
    FEASIBLE_MATERIALS,
    FEASIBLE_PLACES,
    INFEASIBLE_COLORS,
    INFEASIBLE_MATERIALS,
    INFEASIBLE_PLACES,
    PLACES,
)
from varireal.errors import UserError
from varireal.prompts import SOURCES
from varireal.prompts.bank import plain, read_bank
from varireal.prompts.llm.near import near_duplicate

BANKS = Path(__file__).parents[2] / "data" / "banks"
WHOLE_GRID = {attribute: list(FEASIBILITIES) for attribute in ATTRIBUTES}

BANK = """
background:
  feasible:
    all:
      - {name: grass, phrase: on the grass}
      - {name: sofa, phrase: on a sofa}
    dog:
      - {name: kennel, phrase: in a kennel}
  infeasible:
    cat: [{name: lava, phrase: on lava}]
    dog: [{name: moon, phrase: on the moon}]
"""
NEEDED = {"background": ["feasible", "infeasible"]}


def table_of(path, classes=("cat", "dog"), needed=NEEDED):
    return SOURCES["bank"](PromptConfig(bank=str(path)), ComputeConfig(), seed=0).table(classes, "pet", needed)


@pytest.fixture
def bank(tmp_path):
    path = tmp_path / "bank.yaml"
    path.write_text(BANK)
    return path


def refused(bank, match, **options):
    with pytest.raises(UserError, match=match) as caught:
        table_of(bank, **options)
    assert "\n" not in str(caught.value)
    assert str(bank) in str(caught.value)
    assert len(str(caught.value)) < 1500


def test_a_class_has_its_own_list_or_the_one_for_all(bank):
    table = table_of(bank)
    assert [spec.name for spec in table.specs("background", "feasible", "cat")] == ["grass", "sofa"]
    assert [spec.name for spec in table.specs("background", "feasible", "dog")] == ["kennel"]


def test_a_class_without_a_list_is_named_with_bank_attribute_and_feasibility(bank):
    refused(bank, "no list for the class 'hamster' in background.infeasible", classes=("cat", "hamster"))


def test_the_grid_must_be_covered(bank):
    refused(bank, "no color.feasible, which the grid", needed={"color": ["feasible"]})


def test_the_table_does_not_depend_on_the_grid(bank):
    assert table_of(bank, needed={"background": ["feasible"]}) == table_of(bank, needed=NEEDED)


def test_lists_of_unknown_classes_are_told(bank, caplog):
    bank.write_text(BANK.replace("    dog:\n", "    dgo:\n", 1))
    with caplog.at_level(logging.WARNING):
        table_of(bank)
    assert "'dgo'" in caplog.text and "did you mean 'dog'?" in caplog.text


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("background:", "backgrond:", "backgrond"),
        ("feasible:", "possible:", "possible"),
        ("phrase: on a sofa", "phrase: on the grass", "phrase 'on the grass' 2 times"),
        ("name: sofa", "name: grass", "name 'grass' 2 times"),
        ("name: lava", "name: sofa", "name 'sofa' 2 times for the class 'cat'"),
        ("phrase: on a sofa", 'phrase: "on a\\nsofa"', r"control character U\+000A"),
        ("phrase: on a sofa", 'phrase: ""', "is empty"),
        ("phrase: on a sofa", f"phrase: {'x' * 201}", "201 characters long"),
        ("name: sofa", "name: ../sofa", "file names must not"),
        ("name: sofa", "name: no", "valid string"),
        (", phrase: on a sofa", "", "phrase: field required|phrase.*[Ff]ield required"),
        ("name: sofa", "nam: sofa", "nam: unknown key; allowed: name, phrase"),
        ("{name: sofa, phrase: on a sofa}", "sofa", "sofa"),
        ("    dog:\n", "    all:\n", "the key 'all' stands twice"),
        ("background:", "background: [", "not valid YAML"),
        ("background:", "!!python/object/apply:os.system ['true']\nbackground:", "not valid YAML"),
    ],
)
def test_a_wrong_bank_is_one_clear_line(bank, old, new, said):
    assert old in BANK
    bank.write_text(BANK.replace(old, new, 1))
    refused(bank, said)


@pytest.mark.parametrize("content", ["", "just text", "[1, 2]", "\x00\x01", "a: &a [*a]"])
def test_files_that_are_no_bank_are_refused(bank, content):
    bank.write_text(content)
    refused(bank, "bank")


def test_a_file_in_another_encoding_is_refused(bank):
    bank.write_bytes("background: é".encode("latin-1"))
    refused(bank, "not valid YAML")


def test_references_that_multiply_do_not_explode(bank):
    levels = "\n".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 30))
    bank.write_text(f"l0: &l0 [x]\n{levels}\n")
    refused(bank, "l1")


def test_a_missing_or_huge_file_is_refused(bank, tmp_path):
    refused(tmp_path / "gone.yaml", "does not exist")
    bank.write_text(BANK + "#" * 1_000_000)
    refused(bank, "larger than 1,000,000 bytes")


def lists(attribute, feasible, infeasible):
    table = table_of(BANKS / "rendered_aircraft.yaml", CLASSES, WHOLE_GRID)
    for class_name in CLASSES:
        for feasibility, expected in (("feasible", feasible), ("infeasible", infeasible)):
            specs = table.specs(attribute, feasibility, class_name)
            assert tuple(spec.name for spec in specs) == expected
            yield from specs


def test_the_bank_of_the_rendered_world_says_what_the_world_shows():
    assert all(spec.phrase == PLACES[spec.name] for spec in lists("background", FEASIBLE_PLACES, INFEASIBLE_PLACES))
    for spec in lists("color", FEASIBLE_COLORS, INFEASIBLE_COLORS):
        assert (spec.phrase, spec.rgb) == (spec.name, COLORS[spec.name])
    for spec in lists("texture", FEASIBLE_MATERIALS, INFEASIBLE_MATERIALS):
        assert spec.phrase == f"{spec.name} textured"


def test_the_bank_for_pets_covers_the_grid_for_any_breed():
    table = table_of(BANKS / "pets.yaml", ["Bengal", "shiba inu"], WHOLE_GRID)
    for attribute in ATTRIBUTES:
        assert len(table.all_specs(attribute)) >= 12
    assert all(spec.rgb is not None for spec in table.all_specs("color"))


def test_every_bank_in_git_is_plain_yaml():
    for path in sorted(BANKS.iterdir()):
        assert set(yaml.safe_load(path.read_text())) - {"groups", "weights"} == set(ATTRIBUTES)


GROUPED = """
groups:
  felines: [Cat, Bengal Cat]
  canines: [dog, F-16A/B]
weights: {background: 1.5}
background:
  feasible:
    all: [{name: grass, phrase: on the grass}]
    felines: [{name: sofa, phrase: on a sofa}, {name: tree, phrase: in a tree, weight: 1.0}]
    bengal cat: [{name: jungle, phrase: in the jungle}]
"""
FEASIBLE = {"background": ["feasible"]}


@pytest.fixture
def grouped(tmp_path):
    path = tmp_path / "grouped.yaml"
    path.write_text(GROUPED)
    return path


def test_a_class_has_its_own_list_before_that_of_its_group_before_that_for_all(grouped):
    table = table_of(grouped, ("cat", "Bengal_cat", "f 16a b", "hamster"), FEASIBLE)
    found = {name: [spec.name for spec in table.specs("background", "feasible", name)] for name in table.classes}
    assert found == {"cat": ["sofa", "tree"], "Bengal_cat": ["jungle"], "f 16a b": ["grass"], "hamster": ["grass"]}


def test_a_weight_of_the_bank_holds_where_a_value_has_none_of_its_own(grouped):
    assert [spec.weight for spec in table_of(grouped, ("cat",), FEASIBLE).specs("background", "feasible", "cat")] == [
        1.5,
        1.0,
    ]


def test_a_class_outside_of_the_groups_is_told(grouped, caplog):
    table_of(grouped, ("cat", "hamster"), FEASIBLE)
    assert "the class 'hamster' is in no group" in caplog.text and "'cat'" not in caplog.text
    grouped.write_text(GROUPED.replace("    all:", "    canines:"))
    refused(
        grouped,
        r"no list for the class 'cats' .*its groups have 'cat': is that the class\?",
        classes=("cats",),
        needed=FEASIBLE,
    )


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[dog, F-16A/B]", "[dog, bengal_cat]", "groups name the class 'bengal cat' 2 times"),
        ("[dog, F-16A/B]", "[dog, Dog]", "groups name the class 'dog' 2 times"),
        ("[dog, F-16A/B]", "[]", "groups.canines: list should have at least 1 item|groups.canines.*at least 1"),
        ("[dog, F-16A/B]", "[dog, 737]", "groups.canines.1 = 737"),
        ("canines:", "all:", "the group 'all' has the name of a class or of the list for all"),
        ("canines:", "CAT:", "the group 'CAT' has the name of a class"),
        ("    felines:", "    feline:", "lists for 'feline', which is neither a group .* .did you mean 'felines'"),
        ("    bengal cat:", "    Bengel Cat:", "lists for 'Bengel Cat', which is neither a group nor a class"),
        ("weights: {background: 1.5}", "weights: {background: 9}", "weights.background = 9"),
        ("weights: {background: 1.5}", "weights: {backgrund: 1}", "backgrund"),
    ],
)  # fmt: skip
def test_wrong_groups_are_one_clear_line(grouped, old, new, said):
    assert old in GROUPED
    grouped.write_text(GROUPED.replace(old, new, 1))
    refused(grouped, said, classes=("cat", "dog"), needed=FEASIBLE)


OFFICIAL = {"oxford_pets": 37, "fgvc_aircraft": 100, "stanford_cars": 196}
SPELLINGS = {
    "oxford_pets": ["Abyssinian", "american_bulldog", "Shiba Inu", "staffordshire bull terrier"],
    "fgvc_aircraft": ["707-320", "F-16A/B", "F/A-18", "Eurofighter Typhoon"],
    "stanford_cars": [
        "Ram C/V Cargo Van Minivan 2012",
        "Ram C-V Cargo Van Minivan 2012",
        "smart fortwo Convertible 2012",
    ],
    "waterbirds": ["landbird", "waterbird"],
}
LEAST = {"background": 18, "color": 6, "texture": 6}


def grouped_classes(name):
    groups = yaml.safe_load((BANKS / f"{name}.yaml").read_text()).get("groups", {})
    return [member for members in groups.values() for member in members]


@pytest.mark.parametrize("name", SPELLINGS)
def test_the_bank_of_a_data_set_covers_its_classes_with_long_lists_that_do_not_repeat(name, caplog):
    classes = grouped_classes(name) or SPELLINGS[name]
    assert len(classes) == OFFICIAL.get(name, 2)
    table = table_of(BANKS / f"{name}.yaml", classes, WHOLE_GRID)
    seen = set()
    for attribute in ATTRIBUTES:
        for class_name in classes:
            lists = [table.specs(attribute, kind, class_name) for kind in FEASIBILITIES]
            assert min(map(len, lists)) >= LEAST[attribute], (attribute, class_name)
            together = tuple(spec for specs in lists for spec in specs)
            if together not in seen:  # most classes share the lists of their group
                seen.add(together)
                for index, spec in enumerate(together):
                    twin = near_duplicate(spec, together[:index])
                    assert twin is None, f"{attribute}, {class_name}: {spec.name!r} says the same as {twin.name!r}"
    assert {table.specs(attribute, "feasible", classes[0])[0].weight for attribute in ATTRIBUTES} == {1.2, 1.3}
    assert caplog.text == ""


@pytest.mark.parametrize("name", SPELLINGS)
def test_classes_may_be_spelled_as_data_sets_do(name, caplog):
    table = table_of(BANKS / f"{name}.yaml", SPELLINGS[name], WHOLE_GRID)
    assert table.classes == SPELLINGS[name] and caplog.text == ""


def test_military_and_civilian_aircraft_have_their_own_materials():
    table = table_of(BANKS / "fgvc_aircraft.yaml", ["Tornado", "A380"], WHOLE_GRID)
    names = {name: {spec.name for spec in table.specs("texture", "feasible", name)} for name in table.classes}
    assert "desert camouflage" in names["Tornado"] - names["A380"]
    assert "pearl lacquer" in names["A380"] - names["Tornado"]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [("F-16A/B", "f_16a b", True), ("Épagneul", unicodedata.normalize("NFD", "épagneul"), True), ("é", "e", False),
     ("की", "का", False), ("🐈", "🐕", False), ("🐈", "🐈", True), ("Shiba  Inu", "shiba-inu", True)],
)  # fmt: skip
def test_names_of_classes_are_the_same_by_their_letters(one, other, same):
    assert (plain(one) == plain(other)) is same


@pytest.mark.parametrize("word", ["no", "on", "null", "001", "1e5", "2024-01-01"])
def test_a_class_that_yaml_takes_for_something_else_is_told_to_be_put_in_quotes(tmp_path, word):
    rest = "[{name: red, phrase: red, rgb: [1, 2, 3]}]}\n"
    (tmp_path / "b.yaml").write_text(f"color:\n  feasible: {{{word}: {rest}")
    with pytest.raises(UserError, match=r"valid string .*001 and 1e5 as words only in quotes"):
        read_bank(tmp_path / "b.yaml")
    (tmp_path / "b.yaml").write_text(f"color:\n  feasible: {{'{word}': {rest}")
    assert list(read_bank(tmp_path / "b.yaml").lists["color"]["feasible"]) == [word]
