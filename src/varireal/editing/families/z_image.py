"""Z-Image: a transformer in which picture and sentence are one stream, led by Qwen3."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from varireal.editing.families.base import INPAINT, Abilities, Prompts
from varireal.editing.families.flow import FLOW, FlowFamily
from varireal.editing.families.prompts import KeptPrompts

if TYPE_CHECKING:
    import torch


class ZImage(FlowFamily):
    """Paints with Z-Image; its guidance counts from 0, which guides nothing: Turbo's weights were made for that."""

    name = "z_image"
    abilities = Abilities("Z-Image and Z-Image-Turbo", multiple=16, schedulers=FLOW)
    classes = frozenset({"ZImagePipeline", "ZImageImg2ImgPipeline", "ZImageInpaintPipeline"})
    tasks: ClassVar[dict[str, str]] = {INPAINT: "ZImageInpaintPipeline"}

    def prompts(self, pipe: Any, device: torch.device) -> Prompts:
        def encode(text: str) -> dict[str, torch.Tensor]:
            [embeddings], _ = pipe.encode_prompt(text, device=device, do_classifier_free_guidance=False)
            return {"prompt_embeds": embeddings}

        return KeptPrompts(encode, device, listed=True)

    def guided(self, pipe: Any, guidance_scale: float) -> bool:
        """Tell whether a scale guides: what is added is the scale times the difference, so that any above 0 does."""
        return guidance_scale > 0
