"""Qwen-Image-Edit: a transformer led by a vision-language model, which looks at the photo beside the sentence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from varireal.editing.families.base import INPAINT, INSTRUCT, Abilities, Prompts
from varireal.editing.families.flow import FLOW, FlowFamily

if TYPE_CHECKING:
    import torch

    from varireal.prompts.templates import Sentence

PLUS = "QwenImageEditPlusPipeline"  # reads several photos, and knows no mask


class SeenPrompts:
    """Gives sentences as they stand: the pipeline encodes them beside each photo, so that nothing can be kept."""

    def embed(self, sentences: Sequence[Sentence], negative: str = "") -> bool:
        return False

    def has(self, sentences: Sequence[Sentence], negative: str = "") -> bool:
        return False

    def forget_encoders(self) -> None:
        """There is nothing that can be done without."""

    def pieces(self, sentence: Sentence) -> int:
        return 1

    def arguments(self, sentences: Sequence[Sentence], guided: bool, negative: str = "") -> dict[str, Any]:
        arguments = {"prompt": [sentence.text for sentence in sentences]}
        return {**arguments, "negative_prompt": [negative or " "] * len(sentences)} if guided else arguments


class QwenImage(FlowFamily):
    """Paints with Qwen-Image-Edit inside masks, or with its Plus versions by instruction alone."""

    name = "qwen_image"
    # whatever is asked for, the pipelines scale what they draw, or what they look at, to a million pixels
    abilities = Abilities("Qwen-Image-Edit and its Plus versions", multiple=16, only=1024, schedulers=FLOW)
    classes = frozenset({"QwenImageEditPipeline", "QwenImageEditInpaintPipeline", PLUS})
    encoders: tuple[str, ...] = ()  # what reads sentences looks at each photo too

    def pipeline_class(self, task: str, kind: str) -> str | None:
        if kind == PLUS:
            return PLUS if task == INSTRUCT else None
        return "QwenImageEditInpaintPipeline" if task == INPAINT else None

    def at_once(self, task: str) -> int | None:
        return 1 if task == INSTRUCT else None

    def prompts(self, pipe: Any, device: torch.device) -> Prompts:
        return SeenPrompts()

    def settings(self, pipe: Any, size: int, guidance_scale: float) -> dict[str, Any]:
        return {"height": size, "width": size, "true_cfg_scale": guidance_scale}

    def tile(self, pipe: Any, side: int) -> None:
        """Have it take tiles; they overlap by a quarter, as those of the other families."""
        stride = side * 3 // 4
        pipe.vae.enable_tiling(side, side, stride, stride)
