"""What families with a rectified-flow transformer have in common."""

from __future__ import annotations

from typing import Any, ClassVar

from varireal.editing.families.base import Abilities

FLOW = frozenset[str]()  # none of the schedulers that settings can name is made for straight paths


class FlowFamily:
    """Answers for a family as most of these do; a family overrides what is different."""

    name: str
    abilities: Abilities
    classes: frozenset[str]
    any_class = False
    network = "transformer"
    compiled: tuple[str, ...] = ("transformer",)
    encoders: tuple[str, ...] = ("text_encoder",)
    tasks: ClassVar[dict[str, str]] = {}  # diffusers' class by task

    @property
    def identity(self) -> dict[str, object]:
        return {"family": self.name}

    def pipeline_class(self, task: str, kind: str) -> str | None:
        return self.tasks.get(task)

    def at_once(self, task: str) -> int | None:
        return None

    def takes_guidance(self, pipe: Any) -> bool:
        return True

    def guided(self, pipe: Any, guidance_scale: float) -> bool:
        return guidance_scale > 1 and self.takes_guidance(pipe)

    def own_size(self, pipe: Any) -> int:
        return 1024

    def settings(self, pipe: Any, size: int, guidance_scale: float) -> dict[str, Any]:
        scale = guidance_scale if self.takes_guidance(pipe) else 1.0
        return {"height": size, "width": size, "guidance_scale": scale}

    def tile(self, pipe: Any, side: int) -> None:
        pipe.vae.enable_tiling()
        pipe.vae.tile_sample_min_size = side
        pipe.vae.tile_latent_min_size = side // pipe.vae_scale_factor
