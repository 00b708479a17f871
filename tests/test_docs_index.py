"""docs/index.md: every name and file in it exists, and every document stands in it."""

from __future__ import annotations

import importlib
import operator
import re
from pathlib import Path

import pytest

from varireal.cli import STAGES

REPOSITORY = Path(__file__).parents[1]
INDEX = (REPOSITORY / "docs/index.md").read_text()
NAMES = sorted(set(re.findall(r"`(varireal[\w.]*(?::[\w.]+)?)`", INDEX)))
# not those with a NAME to choose, nor what only a run writes
FILES = sorted(set(re.findall(r"`((?:src|tests|conf|docs|data/banks|models)/(?:(?!NAME)[\w./])*)`", INDEX)))


@pytest.mark.parametrize("name", NAMES)
def test_a_name_leads_to_something(name):
    module, _, attribute = name.partition(":")
    found = importlib.import_module(module)
    if attribute:
        operator.attrgetter(attribute)(found)


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_there(name):
    assert (REPOSITORY / name).exists()


def test_every_document_and_every_stage_is_in_it():
    listed = set(re.findall(r"\]\((\w+\.md)\)", INDEX))
    assert {path.name for path in (REPOSITORY / "docs").glob("*.md")} - {"index.md"} <= listed
    walk = INDEX.split("## The life of one photo")[1].split("\n## ")[0]
    assert re.findall(r"^\d+\. \*\*(\w+)\*\*:", walk, re.M) == list(STAGES)
    for step in re.split(r"^\d+\. ", walk, flags=re.M)[1:]:
        assert re.search(r"`varireal[\w.]+:\w+`", step), f"no function is named: {step}"
