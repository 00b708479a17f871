"""Attribute lists: which backgrounds, colours and textures are asked for, and in which words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from varireal.base.manifest import Attribute, Feasibility
from varireal.config import ComputeConfig, PromptConfig
from varireal.prompts.bank import BankSource
from varireal.prompts.llm.source import OpenAiSource, TransformersSource
from varireal.prompts.schema import AttributeSpec, PromptTable, load_prompts, read_classes
from varireal.prompts.study import StudySource


class PromptSource(Protocol):
    """Makes the lists."""

    def __init__(self, config: PromptConfig, compute: ComputeConfig, seed: int) -> None: ...

    def table(
        self, classes: Sequence[str], domain_word: str, needed: Mapping[Attribute, Sequence[Feasibility]]
    ) -> PromptTable:
        """Return validated lists for the classes, holding at least those needed.

        Raises:
            UserError: a list is missing or wrong.
        """
        ...

    def documents(self) -> dict[str, Any]:
        """Return what is stored beside the last table, as JSON values by relative path."""
        ...

    def summary(self) -> str | None:
        """Say in one line what making the last table took, or None where that was nothing."""


SOURCES: dict[str, type[PromptSource]] = {
    "bank": BankSource,
    "openai": OpenAiSource,
    "transformers": TransformersSource,
    "study": StudySource,
}

__all__ = ["SOURCES", "AttributeSpec", "PromptSource", "PromptTable", "load_prompts", "read_classes"]
