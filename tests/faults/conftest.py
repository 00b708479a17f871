"""An empty store of MLflow, for the runs with faults."""

from __future__ import annotations

from tests.tracking.conftest import empty_store

__all__ = ["empty_store"]
