from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from varireal.config import TrainConfig, load_params
from varireal.errors import UserError

REPOSITORY = Path(__file__).parents[2]
DEFAULTS = yaml.safe_load((REPOSITORY / "params.yaml").read_text())


def load(tmp_path: Path, changes: dict[str, Any]):
    """Load the committed parameters with some values changed, named by dotted keys; None for ... removes a key."""
    raw = copy.deepcopy(DEFAULTS)
    for key, value in changes.items():
        *sections, last = key.split(".")
        section = raw
        for name in sections:
            section = section[name]
        if value is ...:
            del section[last]
        else:
            section[last] = value
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(raw))
    return load_params(path)


def test_the_committed_parameters_are_valid():
    params = load_params(REPOSITORY / "params.yaml")
    assert [params.mix.share(name) for name in ("feasible", "infeasible", "mixed")] == [0, 1, params.mix.ratio]
    assert set(params.edit.recipes) >= set(params.grid.attributes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mix.ration": 0.5}, r"unknown key mix\.ration; did you mean ratio\? allowed here: .*images_per_class.*ratio"),
        ({"tracing": {}}, r"unknown key tracing; did you mean tracking\? allowed here: clip, compute"),
        ({"train.lora.rank": 4}, r"unknown key train\.lora\.rank; .*allowed here: lora_alpha, lora_dropout, r$"),
        ({"edit.recipes.color.feasible.strenght": 1}, r"unknown key .*feasible\.strenght; did you mean strength\?"),
        ({"mix.ratio": 1.5}, r"mix\.ratio = 1\.5: input should be less than or equal to 1"),
        ({"mix.ratio": "half"}, r"mix\.ratio = 'half': input should be a valid number"),
        ({"mix.shares": {"mixed": 0.5}}, r"unknown key mix\.shares; .*allowed here: .*ratio"),
        ({"train.batch_size": 0}, r"train\.batch_size = 0: input should be greater than or equal to 1"),
        ({"train.accumulation_steps": 13}, r"train: accumulation_steps 13 would leave parts of a batch of 12 without"),
        ({"train.max_steps": None}, r"train: max_steps and rounds are both null; set one of them, or both for the sma"),
        ({"train.rounds": 0}, r"train\.rounds = 0: input should be greater than or equal to 1"),
        ({"train.learning_rate": float("inf")}, r"train\.learning_rate = inf: input should be a finite number"),
        ({"seed": ...}, r"seed is missing"),
        ({"seed": True}, r"seed is true, as YAML reads yes, no, on and off; a number is meant"),
        ({"compute.workers": False}, r"compute: workers is false, as YAML reads yes, no"),
        ({"dataset.val_share": True}, r"dataset: val_share is true, "),
        ({"seed": -1}, r"seed = -1: input should be greater than or equal to 0"),
        ({"dataset.name": "cifar"}, r"dataset\.name = 'cifar': input should be 'rendered_aircraft', 'image_folder'"),
        ({"grid.attributes": ["shape"]}, r"grid\.attributes\.0 = 'shape': input should be 'background', 'color' or"),
        ({"grid.attributes": []}, r"grid\.attributes = \[\]: list should have at least 1 item"),
        ({"grid.seeds": [0, 0]}, r"grid: grid\.seeds names a value twice"),
        ({"grid.feasibilities": ["feasible"]}, r"grid: condition infeasible needs \['infeasible'\]"),
        ({"grid.controls": ["harm-0"]}, r"grid: grid\.controls names 'harm-0'; allowed here: harm-1 to harm-99 \(perc"),
        ({"grid.controls": ["harm-20", "harm-20"]}, r"grid: grid\.controls names a value twice"),
        ({"grid.controls": ["null-b"]}, r"grid: grid\.controls has null-b alone; its comparison needs null-a and null"),
        ({"grid.control_attributes": []}, r"grid: grid\.control_attributes is empty; name an attribute of the grid"),
        (
            {"grid.attributes": ["color", "texture"]},
            r"grid: grid\.control_attributes names background, of which grid\.attributes has no edits; take "
            r"one of color, texture, or set grid\.controls to \[\]",
        ),
        ({"grid.conditions": ["mixed"]}, r"grid: controls of harm are compared with the condition feasible; put it in"),
        (
            {"grid.feasibilities": ["feasible"], "grid.conditions": ["feasible"]},
            r"grid: the null controls mix feasible with infeasible edits; put both in, or set grid\.controls to \[\]",
        ),
        ({"segment.min_area": 0.95}, r"segment: min_area 0\.95 must be below max_area 0\.9"),
        ({"segment.checkpoint": None, "segment.source": "model"}, r"segment: source model needs a checkpoint"),
        ({"filter.name": "clip", "filter.model": None}, r"filter: filter clip needs a model"),
        (
            {"edit.memory.offload": True, "edit.memory.compile": True},
            r"edit\.memory: offload and compile do not go together",
        ),
        ({"compute.max_set_aside": 1.5}, r"compute\.max_set_aside = 1\.5: input should be less than or equal to 1"),
        (
            {"edit.match_strength": 5, "grid.feasibilities": ["feasible"], "grid.conditions": ["feasible"],
             "grid.controls": []},
            r"edit\.match_strength draws feasible and infeasible colours in pairs, but grid\.feasibilities has one",
        ),
        ({"edit.match_strength": 0}, r"edit\.match_strength = 0: input should be greater than 0"),
        ({"edit.recipes.color.feasible": ...}, r"edit\.recipes\.color\.feasible is missing, but the grid asks for it"),
        (
            {"edit.recipes.color.feasible.strength": 0.01, "edit.recipes.color.feasible.num_inference_steps": 8},
            r"edit\.recipes\.color\.feasible: num_inference_steps 8 at strength 0\.01 leaves no step",
        ),
    ],
)  # fmt: skip
def test_a_wrong_value_is_one_line_that_names_the_file_the_key_and_what_is_allowed(tmp_path, changes, message):
    with pytest.raises(UserError, match=message) as caught:
        load(tmp_path, changes)
    assert "\n" not in str(caught.value) and str(tmp_path / "params.yaml") in str(caught.value)


def test_all_mistakes_are_named_at_once(tmp_path):
    with pytest.raises(UserError) as caught:
        load(tmp_path, {"train.max_steps": 0, "mix.rato": 1, "evaluate.batch_size": "many"})
    assert all(key in str(caught.value) for key in ("train.max_steps", "mix.rato", "evaluate.batch_size"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"mix: [", "is not valid YAML"),
        (b"- a list", "must hold sections .*, found list"),
        (b"", "must hold sections .*, found NoneType"),
        (b"\xff\xfe\x00", "is not valid YAML"),
        (b"x: !!python/object/apply:os.system ['true']", "is not valid YAML: could not determine a constructor"),
    ],
)
def test_files_that_hold_no_parameters_are_refused(tmp_path, content, message):
    (tmp_path / "params.yaml").write_bytes(content)
    with pytest.raises(UserError, match=message):
        load_params(tmp_path / "params.yaml")


def test_a_missing_file_says_where_to_run(tmp_path):
    with pytest.raises(UserError, match="does not exist; run from the repository's root or give --params"):
        load_params(tmp_path / "params.yaml")


def test_rounds_are_counted_in_steps_and_the_smaller_number_holds():
    """The study's cars: 656 steps a round with 64 images in a batch, 120 rounds, 78,720 steps."""
    study = TrainConfig(max_steps=None, rounds=120, batch_size=64)
    assert study.for_edits(656 * 64).steps == 78_720
    assert study.for_edits(1).steps == 2  # 120 images are two batches
    assert study.model_copy(update={"max_steps": 500}).for_edits(656 * 64).steps == 500
    assert TrainConfig(max_steps=7).for_edits(10**6).steps == 7
    with pytest.raises(ValueError, match="have not been counted"):
        print(study.steps)


def test_parameters_cannot_be_changed_by_accident():
    params = load_params(REPOSITORY / "params.yaml")
    with pytest.raises(ValueError, match="frozen"):
        params.mix.ratio = 0.1
