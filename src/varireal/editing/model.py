"""What the models that edits ask for have in common: a pipeline, the side of its squares, and the words to come."""

from __future__ import annotations

from collections.abc import Sequence

from varireal.editing.pipelines import Pipeline
from varireal.prompts.templates import Sentence


class SquareModel:
    """Draws squares with a pipeline of diffusers."""

    def __init__(self, pipeline: Pipeline, size: int | None) -> None:
        """Take the side of the squares; None: the checkpoint's own."""
        self._pipeline, self._size = pipeline, size

    @property
    def identity(self) -> dict[str, object]:
        """Return what decides the pictures besides the settings of a call, as JSON values."""
        return {**self._pipeline.identity, "image_size": self._size}

    @property
    def image_size(self) -> int:
        """Return the side of the square that the model works on."""
        return self._size or self._pipeline.own_size

    def expect(self, sentences: Sequence[Sentence]) -> None:
        """Take all sentences to come: once they are embedded, text encoders need not stay in memory."""
        self._pipeline.expect(sentences)
