"""The prompt source `study`: the study's own lists, from a clone of its repository."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.prompts.study_lists import write_clone

from varireal.base.files import sha256_file
from varireal.base.manifest import ATTRIBUTES, FEASIBILITIES
from varireal.config import ComputeConfig, PromptConfig
from varireal.editing.filters.vqa import ask
from varireal.editing.jobs import Wording
from varireal.errors import UserError
from varireal.prompts.study import StudySource, Value, read_entry
from varireal.prompts.templates import place_prompt

GRID = {attribute: list(FEASIBILITIES) for attribute in ATTRIBUTES}
CARS = ["tiny car van 2012", "Other Coupe 1999"]  # as other copies of the data set may write them


def source(folder: Path, dataset: str = "stanford_cars") -> StudySource:
    config = PromptConfig(source="study", bank="none", study={"folder": str(folder), "dataset": dataset})
    return StudySource(config, ComputeConfig(), seed=0)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    return write_clone(tmp_path / "clone")


@pytest.mark.parametrize(
    ("entry", "values"),
    [
        ("(lime)1.3", [Value("lime", 1.3, None)]),
        ("(city park)1.2: Grass, paths.", [Value("city park", 1.2, "Grass, paths.")]),
        ("(a)1: of (b) and (c) 2", [Value("a", 1.0, "of (b) and (c) 2")]),
        ("(a)1.2: first.(b)1.3: second", [Value("a", 1.2, "first."), Value("b", 1.3, "second")]),
    ],
)
def test_an_entry_is_a_name_a_weight_and_perhaps_a_description(entry, values):
    assert read_entry(entry) == values


@pytest.mark.parametrize("entry", ["", "lime", "(lime)", "a (lime)1.3", "()1.3: x"])
def test_what_is_no_entry_is_refused(entry):
    with pytest.raises(ValueError, match="is not written as"):
        read_entry(entry)


@pytest.mark.parametrize("below", ["", "VariReal/src"])
def test_the_lists_of_a_data_set_are_read_without_running_anything(clone, below):
    lists = source(clone / below)
    table = lists.table(CARS, "car", GRID)
    assert table.classes == CARS and table.domain_word == "car"
    (ferry,) = table.specs("background", "feasible", CARS[0])
    assert (ferry.name, ferry.weight, ferry.description) == ("ferry", 1.0, "The deck of a ship.")
    colors = {name: [(spec.name, spec.rgb) for spec in table.specs("color", "feasible", name)] for name in CARS}
    assert colors == {CARS[0]: [("jet black", (13, 13, 13)), ("red", (255, 0, 0))], CARS[1]: [("red", (255, 0, 0))]}
    assert [spec.name for spec in table.specs("texture", "infeasible", CARS[1])] == ["wool"]


@pytest.mark.parametrize(
    ("name", "phrase"),
    [
        ("ferry", "in a ferry background"),
        ("oil platform", "in an oil platform background"),
        ("inside a silo", "inside a silo"),
        ("Atop a dune", "Atop a dune"),
        ("underground hall", "in an underground hall background"),
    ],
)
def test_the_name_of_a_place_becomes_a_phrase_that_filters_and_priors_can_ask_with(clone, name, phrase):
    replace(clone, "config/config_back.py", "(ferry)", f"({name})")
    table = source(clone).table(CARS, "car", GRID)
    (place,) = table.specs("background", "feasible", CARS[0])
    assert (place.name, place.phrase) == (name, phrase)
    asked = ask("background", place.phrase, CARS[0], "car")["attribute"]
    assert asked == f"Is the car in this image {phrase}? Answer with yes or no."
    assert place_prompt(place.phrase) == f"a photo of an empty scene {phrase}"
    theirs = table.model_copy(update={"sentences": {"background": "{domain} {class} on the {name}{details}"}})
    words = theirs.sentence("background", place, CARS[1])
    assert words == f"car Other Coupe 1999 on the {name}: The deck of a ship."
    assert Wording("background", CARS[1], place, words).sentence.emphasised == name


def test_colors_stay_names_and_textures_are_asked_for_as_those_of_a_bank(clone):
    table = source(clone).table(CARS, "car", GRID)
    phrases = [[spec.phrase for spec in table.specs(kind, "feasible", CARS[0])] for kind in ("color", "texture")]
    assert phrases == [["jet black", "red"], ["plain paint textured"]]


@pytest.mark.parametrize("attribute", ["background", "color"])
def test_names_that_differ_in_capitals_alone_are_taken_once(clone, attribute):
    if attribute == "color":  # the first spelling has an RGB triple, the second one needs none
        replace(clone, "config/config_color.py", "'(red)1.3'], 'Other", "'(red)1.3', '(Jet Black)1.3'], 'Other")
    else:
        replace(clone, "config/config_back.py", "'(ferry)1.0", "'(Ferry)1.2', '(ferry)1.0")
    lists = source(clone)
    table = lists.table(CARS, "car", GRID)
    names = [spec.name for spec in table.specs(attribute, "feasible", CARS[0])]
    assert names == (["jet black", "red"] if attribute == "color" else ["Ferry"])
    again = "color: Jet Black" if attribute == "color" else "background: ferry"
    assert f"feasible {again} ({CARS[0]})" in lists.documents()["study.json"]["repeated"]


def test_what_is_read_otherwise_than_written_is_told_and_kept_beside_the_prompts(clone):
    lists = source(clone)
    table = lists.table(CARS, "car", GRID)
    crater, reef = table.specs("background", "infeasible", CARS[0])
    assert (crater.name, crater.description) == ("crater", "Dust and rocks.")
    assert (reef.name, reef.description) == ("reef", "Fish, corals (red) and light.")
    slime = [[spec.rgb for spec in table.specs("color", "infeasible", name)] for name in CARS]
    assert slime == [[(50, 205, 50)]] * 2  # once; red is feasible for the second class
    said = lists.documents()["study.json"]
    assert said["run_together"] == ["background: crater and reef"]
    assert said["repeated"] == ["infeasible color: slime (tiny car van 2012)"]
    assert said["feasible_and_infeasible"] == ["color: red (Other Coupe 1999)"]
    assert said["files"]["generator/color_gen.py"] == sha256_file(clone / "VariReal/src/generator/color_gen.py")
    assert lists.summary() == (
        "the study's lists: 1 entries that ran together were taken apart; 1 repeated ones were taken once; 1 "
        "infeasible ones that are feasible for the same class, too, were left out (study.json beside prompts.json "
        "names them)"
    )


def test_textures_of_aircraft_are_lists_of_military_and_civilian_ones(clone):
    table = source(clone, "fgvc_aircraft").table(["F-1/A", "B 2"], "aircraft", GRID)
    names = [[spec.name for spec in table.specs("texture", "feasible", name)] for name in ("F-1/A", "B 2")]
    assert names == [["grey paint"], ["white paint"]]
    assert [spec.name for spec in table.specs("background", "infeasible", "B 2")] == ["cellar"]


def replace(clone: Path, name: str, old: str, new: str) -> None:
    path = clone / "VariReal/src" / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("config/config_back.py", "FEASIBLE_BACK =", "OTHER =", r"config_back\.py assigns no \w*FEASIBLE_BACK; is it"),
        ("config/config_back.py", "'(ferry)1.0: The", "'ferry: The", r"FEASIBLE_BACK\['cars'\]: 'ferry: The deck of a"),
        ("config/config_back.py", "['(apron)1.2: Concrete.']", "open('x')", r"FEASIBLE_BACK is no plain data"),
        ("config/config_back.py", "\n    '(ferry)1.0: The deck of a ship.',", "1,", "holds no list of texts"),
        ("config/config_color.py", "Other Coupe", "Other Coup", r"the class 'Other Coupe 1999' \(is it 'oth"),
        ("generator/color_gen.py", "'red'", "'rot'", r"color_gen\.py has no RGB triple for red; add them to COLORS in"),
        ("generator/color_gen.py", "class ColorGen", "klass ColorGen", r"is no Python \(SyntaxError\)"),
        ("generator/color_gen.py", "(255, 0, 0)", "(256, 0, 0)", r"the study's color 'red': rgb\.0 = 256"),
    ],
)  # fmt: skip
def test_a_file_that_is_not_the_studys_is_one_line(clone, name, old, new, message):
    replace(clone, name, old, new)
    with pytest.raises(UserError, match=message) as caught:
        source(clone).table(CARS, "car", GRID)
    assert "\n" not in str(caught.value)


def test_a_missing_clone_file_or_data_set_is_one_line(clone, tmp_path):
    with pytest.raises(UserError, match=r"prompt\.study\.folder: .*nowhere does not exist; clone"):
        source(tmp_path / "nowhere")
    with pytest.raises(
        UserError, match=r"has no lists for 'waterbirds', but for cars, fgvc_aircraft, oxford_pets; tak"
    ):
        source(clone, "waterbirds").table(["landbird"], "bird", {"background": ["feasible"]})
    (clone / "VariReal/src/generator/color_gen.py").unlink()
    with pytest.raises(UserError, match=r"color_gen\.py cannot be read \(No such file.*must name VariReal/src"):
        source(clone).table(CARS, "car", GRID)


def test_the_folder_and_the_data_set_must_be_named():
    for study in ({}, {"folder": "clone"}):
        with pytest.raises(ValueError, match=r"source study needs study\.(folder|dataset)"):
            PromptConfig(source="study", bank="none", study=study)
