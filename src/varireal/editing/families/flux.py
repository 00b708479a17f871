"""FLUX.1: a transformer led by T5 and by CLIP's one embedding, as a painter inside masks (Fill) or as it came."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from varireal.editing.families.base import INPAINT, Abilities, Prompts
from varireal.editing.families.flow import FLOW, FlowFamily
from varireal.editing.families.prompts import KeptPrompts

if TYPE_CHECKING:
    import torch

FILL = "FluxFillPipeline"  # trained to paint inside masks, with inputs of its own for them


class Flux(FlowFamily):
    """Paints with FLUX.1; what guidance does was distilled into the network, which takes the scale as an input."""

    name = "flux"
    abilities = Abilities("FLUX.1 and FLUX.1 Fill", multiple=16, schedulers=FLOW)
    classes = frozenset({"FluxPipeline", "FluxImg2ImgPipeline", "FluxInpaintPipeline", FILL})
    encoders: tuple[str, ...] = ("text_encoder", "text_encoder_2")
    tasks: ClassVar[dict[str, str]] = {INPAINT: "FluxInpaintPipeline"}

    def pipeline_class(self, task: str, kind: str) -> str | None:
        return FILL if kind == FILL and task == INPAINT else super().pipeline_class(task, kind)

    def takes_guidance(self, pipe: Any) -> bool:
        """Tell whether the network takes a scale: schnell's was distilled further and does not."""
        return pipe.transformer.config.guidance_embeds

    def guided(self, pipe: Any, guidance_scale: float) -> bool:
        return False

    def prompts(self, pipe: Any, device: torch.device) -> Prompts:
        def encode(text: str) -> dict[str, torch.Tensor]:
            embeddings, pooled, _ = pipe.encode_prompt(text, None, device=device)
            return {"prompt_embeds": embeddings, "pooled_prompt_embeds": pooled}

        return KeptPrompts(encode, device)
