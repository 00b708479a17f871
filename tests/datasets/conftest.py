"""Shared by the tests of data sets."""

import pytest

from varireal.datasets import published_files


@pytest.fixture(autouse=True)
def mat_files_in_this_process(monkeypatch):
    """Save the start of a process for every .mat file; one test has the processes back."""
    monkeypatch.setattr(published_files, "in_own_process", lambda load, *arguments: load(*arguments))
