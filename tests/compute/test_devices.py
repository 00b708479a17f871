"""Which algorithms a device computes with."""

from __future__ import annotations

import os

import pytest
import torch

from varireal.compute.devices import settle_algorithms
from varireal.config import ComputeConfig

CUBLAS = "CUBLAS_WORKSPACE_CONFIG"


@pytest.fixture
def settled(monkeypatch):
    """Torch's settings, put back afterwards."""
    monkeypatch.delenv(CUBLAS, raising=False)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    yield
    torch.use_deterministic_algorithms(False)
    os.environ.pop(CUBLAS, None)


def state() -> tuple[bool, bool, bool, str | None]:
    cudnn = torch.backends.cudnn
    return torch.are_deterministic_algorithms_enabled(), cudnn.benchmark, cudnn.allow_tf32, os.environ.get(CUBLAS)


def test_algorithms_are_torchs_own_unless_deterministic_ones_are_asked_for(settled):
    settle_algorithms(ComputeConfig())
    assert state() == (False, True, True, None)
    settle_algorithms(ComputeConfig(deterministic=True))
    assert state() == (True, False, False, ":4096:8")  # a workspace with which cuBLAS repeats its bits


def test_a_workspace_that_is_set_stays(settled, monkeypatch):
    monkeypatch.setenv(CUBLAS, ":16:8")
    settle_algorithms(ComputeConfig(deterministic=True))
    assert state()[3] == ":16:8"
