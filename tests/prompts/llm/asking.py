"""A source `openai` at the misbehaving server, what is asked of it, and how it refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from varireal.config import ComputeConfig, PromptConfig
from varireal.errors import UserError
from varireal.prompts import SOURCES, PromptSource, PromptTable

CLASSES = ["cat", "dog"]
BOTH = ["feasible", "infeasible"]
PLACES = {"background": BOTH}


def make(config: Callable[..., PromptConfig], **changes: Any) -> PromptSource:
    """Return the source; the changes are of `prompt.llm`."""
    return SOURCES["openai"](config(**changes), ComputeConfig(), seed=0)


def names(table: PromptTable, attribute: str = "background", class_name: str = "cat") -> dict[str, list[str]]:
    """Return the values of a class by feasibility."""
    return {kind: [spec.name for spec in table.specs(attribute, kind, class_name)] for kind in BOTH}


def refused(source: PromptSource, said: str, needed: dict[str, list[str]] = PLACES) -> str:
    """Return the one line in which the source says why it gives no table."""
    with pytest.raises(UserError, match=said) as caught:
        source.table(CLASSES, "pet", needed)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 900
    return str(caught.value)
