"""What settings may name is what there is: the tables of classes and the choices of the settings agree."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from varireal.compute.engines import ENGINES
from varireal.config import ClipConfig, ComputeConfig, DatasetConfig, FilterConfig, PromptConfig
from varireal.config.data import MaskSource
from varireal.config.editing import EditConfig, EditorFamily
from varireal.datasets import DATASETS
from varireal.editing import EDITORS
from varireal.editing.cell import NETWORK_MODULES
from varireal.editing.families import FAMILIES
from varireal.editing.filters import FILTERS
from varireal.prompts import SOURCES
from varireal.segmentation import SEGMENTERS
from varireal.training.classifiers import CLASSIFIERS

REPOSITORY = Path(__file__).parents[1]


def choices(section, field):
    """Return what a field of the settings may be."""
    return set(get_args(section.model_fields[field].annotation))


@pytest.mark.parametrize(
    ("table", "named"),
    [
        (SEGMENTERS, set(get_args(MaskSource))),
        (EDITORS, choices(EditConfig, "method")),
        (FAMILIES, set(get_args(EditorFamily))),
        (FILTERS, choices(FilterConfig, "name")),
        (DATASETS, choices(DatasetConfig, "name")),
        (SOURCES, choices(PromptConfig, "source")),
        (ENGINES, choices(ComputeConfig, "engine")),
        (CLASSIFIERS, choices(ClipConfig, "kind")),
    ],
    ids=["segmenters", "editors", "families", "filters", "datasets", "prompt sources", "engines", "classifiers"],
)
def test_a_table_holds_what_the_settings_may_name(table, named):
    assert set(table) == named


def test_workers_know_what_each_editor_and_filter_imports():
    assert set(NETWORK_MODULES) == {*EDITORS, *FILTERS}


def test_every_data_set_has_its_settings_and_its_place_in_the_documents():
    assert {path.stem for path in (REPOSITORY / "conf/dataset").glob("*.yaml")} == set(DATASETS)
    text = "\n".join(path.read_text() for path in [REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md")])
    assert all(re.search(rf"\b{name}\b", text) for name in DATASETS)


@pytest.mark.parametrize(("table", "page"), [(SEGMENTERS, "masks"), (FILTERS, "filter"), (SOURCES, "prompts")])
def test_every_choice_is_said_in_its_document(table, page):
    text = (REPOSITORY / f"docs/{page}.md").read_text()
    assert all(re.search(rf"\b{name}\b", text) for name in table)
