"""What a pipeline's own encoders make of sentences: each distinct one once, kept in the CPU's memory up to a limit."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from varireal.prompts.templates import Sentence

KEPT_BYTES = 2**32  # of embeddings: some 540 sentences of FLUX.2's, which are the longest; its encoder takes 8 GB


class KeptPrompts:
    """Has the pipeline encode every distinct text once.

    Encoders of language models know no emphasis, which such families refuse, and take no sentence in pieces.
    """

    def __init__(
        self, encode: Callable[[str], dict[str, torch.Tensor]], device: torch.device, *, listed: bool = False
    ) -> None:
        """Take what encodes one text into the pipeline's arguments, of one row each.

        Args:
            listed: whether the pipeline takes a list of rows, which may be of different lengths, in place of a tensor.
        """
        self._encode, self._device, self._listed = encode, device, listed
        self._rows: OrderedDict[str, dict[str, torch.Tensor]] = OrderedDict()  # the longest unused ones first

    def pieces(self, sentence: Sentence) -> int:
        """Return one number for all sentences: any of them share a batch."""
        return 1

    def embed(self, sentences: Sequence[Sentence], negative: str = "") -> bool:
        """Compute and keep all embeddings, as :class:`.base.Prompts` says; stop where more would be forgotten."""
        for count, text in enumerate(dict.fromkeys([negative, *(each.text for each in sentences)]), 1):
            self._row(text)
            if len(self._rows) < count:
                return False
        return True

    def has(self, sentences: Sequence[Sentence], negative: str = "") -> bool:
        return all(text in self._rows for text in [negative, *(each.text for each in sentences)])

    def forget_encoders(self) -> None:
        """The pipeline alone holds them."""

    def arguments(self, sentences: Sequence[Sentence], guided: bool, negative: str = "") -> dict[str, Any]:
        """Return the pipeline's arguments for a batch of sentences, as :class:`.base.Prompts` says."""
        arguments = self._together([self._row(sentence.text) for sentence in sentences])
        if guided:
            away = self._together([self._row(negative)] * len(sentences))
            arguments |= {f"negative_{name}": value for name, value in away.items()}
        return arguments

    def _together(self, rows: Sequence[dict[str, torch.Tensor]]) -> dict[str, Any]:
        import torch

        columns = {name: [row[name].to(self._device) for row in rows] for name in rows[0]}
        return columns if self._listed else {name: torch.cat(values) for name, values in columns.items()}

    def _row(self, text: str) -> dict[str, torch.Tensor]:
        import torch

        if text not in self._rows:
            with torch.inference_mode():
                self._rows[text] = {name: value.cpu() for name, value in self._encode(text).items()}
        self._rows.move_to_end(text)
        row = self._rows[text]
        while len(self._rows) > 1 and sum(map(_bytes, self._rows.values())) > KEPT_BYTES:
            self._rows.popitem(last=False)
        return row


def _bytes(row: dict[str, torch.Tensor]) -> int:
    return sum(value.nbytes for value in row.values())
