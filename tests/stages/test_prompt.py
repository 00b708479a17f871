from pathlib import Path

import pytest
from click.testing import CliRunner

from varireal import layout
from varireal.errors import UserError
from varireal.io import atomic_write_bytes
from varireal.prompts import load_prompts
from varireal.stages.prompt import command

REPOSITORY = Path(__file__).parents[2]


def prompt():
    return CliRunner().invoke(command, [], catch_exceptions=False)


@pytest.fixture
def bank(workspace, change_params):
    bank = workspace / "bank.yaml"
    bank.write_text((REPOSITORY / "data" / "banks" / "rendered_aircraft.yaml").read_text())
    change_params("prompt.bank", str(bank))
    return bank


def test_the_table_is_written_for_the_classes_of_the_data_set(bank):
    prompt()
    table = load_prompts(layout.PROMPTS)
    assert (table.domain_word, table.classes) == ("aircraft", ["trijet", "biplane", "glider"])
    assert len(table.specs("texture", "infeasible", "glider")) == 7


def test_the_table_does_not_change_with_the_grid(bank, change_params):
    prompt()
    before = layout.PROMPTS.read_bytes()
    change_params("grid.attributes", ["background", "texture"])
    prompt()
    assert layout.PROMPTS.read_bytes() == before


def test_a_bank_without_the_class_is_named_and_nothing_is_written(bank):
    bank.write_text(bank.read_text().replace("    all:", "    biplane:"))
    with pytest.raises(UserError, match=r"bank\.yaml has no list for the class 'trijet' in background\.feasible"):
        prompt()
    assert not layout.PROMPTS.exists()


def test_a_missing_bank_is_told_before_the_data_set_is_asked_for(bank):
    bank.unlink()
    layout.DATASET_INFO.unlink()
    with pytest.raises(UserError, match=r"prompt\.bank: .* does not exist"):
        prompt()


def test_a_missing_data_set_is_named(bank):
    layout.DATASET_INFO.unlink()
    with pytest.raises(UserError, match=r"dataset\.json is missing; run the stage"):
        prompt()


def test_a_spoilt_data_set_is_named(bank):
    atomic_write_bytes(layout.DATASET_INFO, b"{}")
    with pytest.raises(UserError, match=r"dataset\.json has no classes"):
        prompt()
