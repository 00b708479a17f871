"""FLUX.2 klein: a transformer led by three layers of Qwen3, with the photo's own latents beside those it paints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from varireal.editing.families.base import INPAINT, INSTRUCT, Abilities, Prompts
from varireal.editing.families.flow import FLOW, FlowFamily
from varireal.editing.families.prompts import KeptPrompts

if TYPE_CHECKING:
    import torch


class Flux2(FlowFamily):
    """Paints with FLUX.2 klein, as it came (guided by the empty sentence) or distilled to four steps (not guided)."""

    name = "flux2"
    abilities = Abilities("FLUX.2 klein, base or distilled,", multiple=16, largest=1024, schedulers=FLOW)
    classes = frozenset({"Flux2KleinPipeline", "Flux2KleinInpaintPipeline"})
    tasks: ClassVar[dict[str, str]] = {INPAINT: "Flux2KleinInpaintPipeline", INSTRUCT: "Flux2KleinPipeline"}

    def at_once(self, task: str) -> int | None:
        """Return how many pictures a batch takes: of instructions one, as several are several examples for one."""
        return 1 if task == INSTRUCT else None

    def takes_guidance(self, pipe: Any) -> bool:
        return not pipe.config.is_distilled

    def prompts(self, pipe: Any, device: torch.device) -> Prompts:
        return KeptPrompts(lambda text: {"prompt_embeds": pipe.encode_prompt(text, device=device)[0]}, device)
