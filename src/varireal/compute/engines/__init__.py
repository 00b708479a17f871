"""Where batches are worked on; `ENGINES` maps `compute.engine` of params.yaml to the classes behind it."""

from __future__ import annotations

from typing import Protocol

from varireal.compute.engines.base import Engine, Pool, SetAside, Worker, check_set_aside
from varireal.compute.engines.local import LocalEngine
from varireal.compute.engines.ray import RayEngine
from varireal.config import ComputeConfig

__all__ = ["ENGINES", "Engine", "EngineFactory", "Pool", "SetAside", "Worker", "check_set_aside"]


class EngineFactory(Protocol):
    """Builds an engine; nothing is started before the first batch."""

    def __call__(self, compute: ComputeConfig, modules: tuple[str, ...]) -> Engine:
        """Return the engine.

        Args:
            modules: what workers import before their first batch; none: their work needs no network.

        Raises:
            UserError: it cannot run here.
        """
        ...


ENGINES: dict[str, EngineFactory] = {"local": LocalEngine, "ray": RayEngine}
