"""Filter ``none``: every first attempt is kept."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from varireal.config import ComputeConfig, FilterConfig
from varireal.editing.attempts import FilterAnswer
from varireal.editing.jobs import EditJob
from varireal.prompts import PromptTable


class NoFilter:
    """Accepts everything."""

    identity: dict[str, object] = {"name": "none"}  # noqa: RUF012 - never changed
    thresholds: dict[str, float] = {}  # noqa: RUF012 - never changed

    def __init__(self, config: FilterConfig, compute: ComputeConfig, table: PromptTable) -> None:
        pass

    def load(self) -> None:
        """Load nothing."""

    def check(self, images: Sequence[np.ndarray], jobs: Sequence[EditJob]) -> list[FilterAnswer]:
        """Accept the pictures, without scores."""
        return [FilterAnswer(accepted=True, scores={}, quality=0.0) for _ in jobs]

    def worth_another(self, answer: FilterAnswer) -> bool:
        """Return that nothing speaks against it; nothing is rejected anyway."""
        return True
