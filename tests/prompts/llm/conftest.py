"""The misbehaving server as a fixture, and settings that lead to it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.prompts.llm.server import POOLS, FakeEndpoint

from varireal.config import LlmConfig, PromptConfig


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeEndpoint]:
    """The running server; finished answers of the test lie in its own folder."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    server = FakeEndpoint()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def config(endpoint: FakeEndpoint) -> Callable[..., PromptConfig]:
    """Return a function that makes the settings for the server, with short waits and lists of three."""

    def make(**changes: Any) -> PromptConfig:
        counts = {attribute: {"feasible": 3, "infeasible": 3} for attribute in POOLS}
        settings: dict[str, Any] = {"model": "test-model", "base_url": endpoint.url, "timeout": 5.0, "min_wait": 0.01}
        settings |= {"max_wait": 2.0, "counts": counts, "scope": dict.fromkeys(POOLS, "all")}
        return PromptConfig(source="openai", bank=changes.pop("bank", "none.yaml"), llm=LlmConfig(**settings | changes))

    return make
