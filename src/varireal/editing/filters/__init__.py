"""Filters: which edits count as good."""

from __future__ import annotations

from typing import Protocol

from varireal.config import ComputeConfig, FilterConfig
from varireal.editing.attempts import EditFilter, FilterAnswer
from varireal.editing.filters.clip import ClipFilter
from varireal.editing.filters.none import NoFilter
from varireal.editing.filters.vqa import VqaFilter
from varireal.prompts import PromptTable


class FilterFactory(Protocol):
    """Builds a filter; its models are loaded at the first answer."""

    def __call__(self, config: FilterConfig, compute: ComputeConfig, table: PromptTable) -> EditFilter:
        """Return the filter.

        Raises:
            UserError: its checkpoint is missing or cannot judge.
        """
        ...


FILTERS: dict[str, FilterFactory] = {"clip": ClipFilter, "none": NoFilter, "vqa": VqaFilter}

__all__ = ["FILTERS", "EditFilter", "FilterAnswer"]
