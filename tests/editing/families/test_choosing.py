"""Which family of diffusion models a checkpoint is taken for, and what is said of one that is of another."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from varireal.config import InpaintConfig
from varireal.editing.families import FAMILIES
from varireal.editing.families.choosing import choose_family
from varireal.errors import UserError


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A folder whose index says that it is SDXL's; it holds no weights."""
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionXLPipeline"}))
    return tmp_path


def chosen(checkpoint: Path | str, family: str | None = None) -> str:
    return choose_family("edit.inpaint", InpaintConfig(checkpoint=str(checkpoint), family=family)).name


def test_a_folder_says_of_which_family_it_is(checkpoint) -> None:
    assert chosen(checkpoint) == chosen(checkpoint, "sd") == "sd"


def test_a_class_that_no_family_names_is_left_to_the_auto_classes(checkpoint) -> None:
    (checkpoint / "model_index.json").write_text(json.dumps({"_class_name": "LatentConsistencyModelPipeline"}))
    assert chosen(checkpoint) == "sd"


def test_an_id_of_the_hub_is_of_the_family_that_is_asked_for(checkpoint) -> None:
    assert chosen("owner/name") == "sd"
    assert {chosen("owner/name", name) for name in FAMILIES} == set(FAMILIES)


@pytest.mark.parametrize("text", ["{", "[]", "{}"])
def test_an_index_that_says_nothing_is_one_line(checkpoint, text) -> None:
    (checkpoint / "model_index.json").write_text(text)
    with pytest.raises(UserError, match=r"edit\.inpaint\.checkpoint = .*model_index\.json cannot be read") as error:
        chosen(checkpoint)
    assert "\n" not in str(error.value)


def test_every_class_is_of_one_family() -> None:
    named = [kind for family in FAMILIES.values() for kind in family.classes]
    assert len(named) == len(set(named))
    assert all(name == family.name for name, family in FAMILIES.items())
