"""The embeddings of sentences for a pipeline: each distinct sentence once; emphasis and long texts by compel."""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from varireal.prompts.templates import Sentence

# of embeddings, in the CPU's memory: some 13,500 sentences of SDXL's in half precision, as many pieces of longer ones
KEPT_BYTES = 2**32
_NAMES = ("prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds")


class Embedder:
    """Encodes sentences with the text encoders of a pipeline of Stable Diffusion 1.5, 2 or XL.

    A sentence without emphasis that the encoders take in one piece is encoded by the pipeline itself. For all others
    compel (https://github.com/damian0815/compel) makes the embeddings: those of emphasised words are moved away from
    the empty sentence's, and a text longer than the encoders read is cut into pieces at full stops and commas, whose
    embeddings follow each other. XL's one embedding of the whole sentence knows neither: it is that of the text as it
    stands, up to the encoders' length.
    """

    def __init__(self, pipe: Any, device: torch.device) -> None:
        self._pipe, self._device = pipe, device
        self._encoded: OrderedDict[Sentence, dict[str, torch.Tensor]] = OrderedDict()  # the longest unused ones first
        self._bytes = 0  # of these
        self._away: dict[str, dict[str, torch.Tensor]] = {}

    def embed(self, sentences: Sequence[Sentence], negative: str = "") -> bool:
        """Compute and keep all embeddings, as :class:`.families.base.Prompts` says; stop where one is forgotten."""
        self._negative(negative)
        distinct = list(dict.fromkeys(sentences))
        for sentence in distinct:
            self._row(sentence)
            if distinct[0] not in self._encoded:
                return False
        return True

    def has(self, sentences: Sequence[Sentence], negative: str = "") -> bool:
        return negative in self._away and all(sentence in self._encoded for sentence in sentences)

    def forget_encoders(self) -> None:
        self.__dict__.pop("_providers", None)

    def pieces(self, sentence: Sentence) -> int:
        """Return in how many pieces the encoders take the sentence; only sentences of equal numbers share a batch."""
        return self._pieces(self._row(sentence))

    def _pieces(self, row: dict[str, torch.Tensor]) -> int:
        return row["prompt_embeds"].shape[1] // self._pipe.tokenizer.model_max_length

    def arguments(self, sentences: Sequence[Sentence], guided: bool, negative: str = "") -> dict[str, torch.Tensor]:
        """Return the pipeline's embedding arguments for a batch of sentences with equal numbers of pieces.

        Args:
            guided: whether the embeddings that guidance leads away from are wanted too.
            negative: what these say; nothing: those of no sentence.
        """
        import torch

        rows = [self._row(sentence) for sentence in sentences]
        arguments = {name: torch.cat([row[name] for row in rows]) for name in rows[0]}
        if guided:
            pieces = self._pieces(rows[0])
            for name, value in self._negative(negative).items():
                long = value.repeat(1, pieces, 1) if name == "negative_prompt_embeds" else value
                arguments[name] = torch.cat([long] * len(rows))
        return {name: value.to(self._device) for name, value in arguments.items()}

    def _row(self, sentence: Sentence) -> dict[str, torch.Tensor]:
        """Return the embeddings of one sentence, without those of none, in the CPU's memory."""
        if sentence not in self._encoded:
            self._encoded[sentence] = {name: value.cpu() for name, value in self._encode(sentence).items()}
            self._bytes += _bytes(self._encoded[sentence])
        self._encoded.move_to_end(sentence)
        while len(self._encoded) > 1 and self._bytes > KEPT_BYTES:
            self._bytes -= _bytes(self._encoded.popitem(last=False)[1])
        return self._encoded[sentence]

    def _encode(self, sentence: Sentence) -> dict[str, torch.Tensor]:
        parts = sentence.parts()
        tokenizer = self._pipe.tokenizer
        if len(parts) == 1 and parts[0][1] == 1 and self._tokens(sentence.text) <= tokenizer.model_max_length:
            return self._by_pipeline(sentence.text, guided=False)
        return self._by_compel(sentence.text, parts)

    def _tokens(self, text: str) -> int:
        """Return how many tokens the text has, with those for its beginning and end."""
        return len(self._pipe.tokenizer(text, truncation=False, verbose=False).input_ids)

    def _negative(self, text: str) -> dict[str, torch.Tensor]:
        """Return the embeddings of what guidance leads away from: of the text, or of no sentence."""
        if text not in self._away:
            encoded = self._by_pipeline("", guided=True, negative=text or None)
            self._away[text] = {name: value.cpu() for name, value in encoded.items() if name.startswith("negative_")}
        return self._away[text]

    def _by_pipeline(self, text: str, guided: bool, negative: str | None = None) -> dict[str, torch.Tensor]:
        import torch

        with torch.inference_mode():
            encoded = self._pipe.encode_prompt(
                prompt=text,
                device=self._device,
                num_images_per_prompt=1,
                do_classifier_free_guidance=guided,
                negative_prompt=negative,
            )
        return {name: value for name, value in zip(_NAMES, encoded) if value is not None}

    def _by_compel(self, text: str, parts: Sequence[tuple[str, float]]) -> dict[str, torch.Tensor]:
        import torch

        words, weights = [list(column) for column in zip(*parts)]
        with torch.inference_mode():
            encoded = [
                provider.get_embeddings_for_weighted_prompt_fragments([words], [weights], device=self._device)
                for provider in self._providers
            ]
            embeddings = {"prompt_embeds": torch.cat([one.to(self._device) for one in encoded], dim=-1)}
            if len(encoded) > 1:
                pooled = self._providers[-1].get_pooled_embeddings([text], device=self._device)
                embeddings["pooled_prompt_embeds"] = pooled.to(self._device)
        return embeddings

    @functools.cached_property
    def _providers(self) -> list[Any]:
        """Return compel's makers of embeddings, one for each text encoder.

        They read the layers that the pipeline reads: the last but one of XL's two encoders, the last one otherwise.
        """
        from compel.embeddings_provider import EmbeddingsProvider, ReturnedEmbeddingsType, SplitLongTextMode

        pipe, kinds = self._pipe, ReturnedEmbeddingsType
        double = getattr(pipe, "text_encoder_2", None) is not None
        encoders = [(pipe.tokenizer, pipe.text_encoder)]
        encoders += [(pipe.tokenizer_2, pipe.text_encoder_2)] if double else []
        layer = kinds.PENULTIMATE_HIDDEN_STATES_NON_NORMALIZED if double else kinds.LAST_HIDDEN_STATES_NORMALIZED
        return [
            EmbeddingsProvider(
                tokenizer,
                encoder,
                truncate=False,
                returned_embeddings_type=layer,
                device=str(self._device),
                split_long_text_mode=SplitLongTextMode.SENTENCES,
            )
            for tokenizer, encoder in encoders
        ]


def _bytes(row: dict[str, torch.Tensor]) -> int:
    return sum(value.nbytes for value in row.values())
