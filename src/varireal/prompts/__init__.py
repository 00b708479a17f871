"""Attribute lists: which backgrounds, colours and textures are asked for, and in which words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from varireal.config import PromptConfig
from varireal.manifest import Attribute, Feasibility
from varireal.prompts.bank import BankSource
from varireal.prompts.schema import AttributeSpec, PromptTable, load_prompts


class PromptSource(Protocol):
    """Where the lists come from."""

    def __init__(self, config: PromptConfig) -> None: ...

    def table(
        self, classes: Sequence[str], domain_word: str, needed: Mapping[Attribute, Sequence[Feasibility]]
    ) -> PromptTable:
        """Return validated lists for the classes, holding at least those needed.

        Raises:
            UserError: a list is missing or wrong.
        """


SOURCES: dict[str, type[PromptSource]] = {"bank": BankSource}

__all__ = ["SOURCES", "AttributeSpec", "PromptSource", "PromptTable", "load_prompts"]
