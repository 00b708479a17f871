"""Folders with tiny vision-language models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.editing.filters.tiny_vlms import save_tiny_vlm


@pytest.fixture(scope="session")
def tiny_vlm(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that gives the folder of a kind's model; it is made once."""
    folders: dict[str, Path] = {}

    def get(kind: str) -> Path:
        if kind not in folders:
            folders[kind] = save_tiny_vlm(kind, tmp_path_factory.mktemp(kind))
        return folders[kind]

    return get
