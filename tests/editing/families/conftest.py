"""A tiny random checkpoint of every family with a rectified-flow transformer, each saved once."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.editing.tiny_flow_pipelines import BUILDERS, save_flow_pipeline


@pytest.fixture(scope="session", params=sorted(BUILDERS))
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="session")
def checkpoint(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_flow_pipeline(kind, tmp_path_factory.mktemp(kind) / "checkpoint")
