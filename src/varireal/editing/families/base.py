"""What a family of diffusion models is asked: what its models can, and by which names diffusers calls it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch

    from varireal.prompts.templates import Sentence


INPAINT = "AutoPipelineForInpainting"  # tasks are called by diffusers' auto classes
INSTRUCT = "pipeline that draws by instruction"  # for which there is no auto class


class Prompts(Protocol):
    """Turns sentences into a pipeline's arguments; what can be kept of a sentence is computed once."""

    def embed(self, sentences: Sequence[Sentence], negative: str = "") -> bool:
        """Compute what is kept of sentences, and of ``negative``, ahead; return False where not all of it is kept."""
        ...

    def has(self, sentences: Sequence[Sentence], negative: str = "") -> bool:
        """Return whether all of that is kept already."""
        ...

    def forget_encoders(self) -> None:
        """Let go of what computes it."""
        ...

    def pieces(self, sentence: Sentence) -> int:
        """Return a number of the sentence; only sentences of equal numbers share a batch."""
        ...

    def arguments(self, sentences: Sequence[Sentence], guided: bool, negative: str = "") -> dict[str, Any]:
        """Return the pipeline's arguments for a batch of sentences.

        Args:
            guided: whether those that guidance leads away from are wanted too.
            negative: what these say; nothing: those of no sentence.
        """
        ...


@dataclasses.dataclass(frozen=True)
class Abilities:
    """Says what the models of a family can; what they cannot is refused before one is loaded."""

    words: str  # what its checkpoints are called, for messages
    emphasis: bool = False  # of a part of a sentence
    multiple: int = 8  # what a square's side is divisible by
    largest: int | None = None  # side of a square in pixels
    only: int | None = None  # the one side it draws
    schedulers: frozenset[str] | None = None  # that may take the place of the checkpoint's own; None: all


class Family(Protocol):
    """Knows the pipelines of a family of diffusion models; holds no weights and no settings."""

    name: str
    abilities: Abilities
    classes: frozenset[str]  # what model_index.json calls pipelines whose weights are of this family
    any_class: bool  # whether others that no family names are tried, too
    network: str  # the pipeline's part that is asked at every step: it takes LoRA weights
    compiled: tuple[str, ...]  # the parts, and parts of those, that torch.compile makes faster where they are there
    encoders: tuple[str, ...]  # the pipeline's parts that read sentences, and nothing beside them

    @property
    def identity(self) -> dict[str, object]:
        """Return what of the family decides a picture besides the checkpoint, as JSON values."""
        ...

    def pipeline_class(self, task: str, kind: str) -> str | None:
        """Return the name of diffusers' class that loads a checkpoint; None where the family has none for the task.

        Args:
            task: the auto class for what it shall do, such as ``AutoPipelineForInpainting``.
            kind: what the checkpoint's ``model_index.json`` says it is.
        """
        ...

    def prompts(self, pipe: Any, device: torch.device) -> Prompts:
        """Return what turns sentences into the loaded pipeline's arguments."""
        ...

    def at_once(self, task: str) -> int | None:
        """Return how many pictures a batch of the pipeline takes; None: any number."""
        ...

    def takes_guidance(self, pipe: Any) -> bool:
        """Return whether the loaded weights can be guided; distilled ones cannot."""
        ...

    def guided(self, pipe: Any, guidance_scale: float) -> bool:
        """Return whether pictures are led away from another sentence, which asks the network twice a step."""
        ...

    def own_size(self, pipe: Any) -> int:
        """Return the side of the pictures that the checkpoint was trained for, in pixels."""
        ...

    def settings(self, pipe: Any, size: int, guidance_scale: float) -> dict[str, Any]:
        """Return a square's side and the guidance as the pipeline calls them."""
        ...

    def tile(self, pipe: Any, side: int) -> None:
        """Have the autoencoder take larger pictures in overlapping tiles."""
        ...
