"""Yes/no questions to a vision-language model of transformers, answered by the probabilities of its next token.

Nothing is generated and nothing is parsed: after the question, the model gives every token of its vocabulary a
probability, and P(yes) / (P(yes) + P(no)) is the answer. All spellings that are one token count: "yes", "Yes", " yes".
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from varireal.compute.accelerators import is_broken
from varireal.compute.devices import resolve_device, resolve_dtype
from varireal.config import ComputeConfig
from varireal.editing.filters.judge_parts import (
    KEY,
    answer_tokens,
    cannot_load,
    grey,
    image_token,
    load_config,
    load_processor,
    stripes,
)
from varireal.editing.filters.shared_reading import answers_to_all, set_apart, without_ends
from varireal.errors import UserError
from varireal.networks.blank import answering
from varireal.networks.checkpoints import check_checkpoint
from varireal.networks.finite import check_numbers
from varireal.networks.memory import Fitting, out_of_memory

if TYPE_CHECKING:
    import numpy as np
    import torch

logger = logging.getLogger(__name__)

FILES = "processor_config.json, preprocessor_config.json and config.json"
REMEDY = "set edit.memory.offload to true, or filter.model to a smaller one"
SAME = {"float32": 1e-3}  # how far answers to one reading may be from those to several, over the largest logit
SAME_HALF = 0.05
LEAST_ANSWERED = 0.5  # below this probability of yes and no together a model does not answer the question as asked


class YesNoModel:
    """Asks a vision-language model, which it holds with its processor.

    The processor is loaded and checked at once, the weights at the first question.
    """

    def __init__(self, checkpoint: str, revision: str | None, compute: ComputeConfig, batch_size: int) -> None:
        """Load the processor.

        Args:
            checkpoint: a folder or hub id that ``AutoModelForImageTextToText`` and ``AutoProcessor`` can load.
            revision: branch, tag or commit of a hub id.
            compute: device and dtype of the model.
            batch_size: pictures, with their questions, that go through the model at once.

        Raises:
            UserError: the checkpoint or its processor is missing, it is no vision-language model that continues a
                text, or its tokenizer has no token for an answer or for the picture's place.
        """
        check_checkpoint(checkpoint, KEY, "config.json")
        self._checkpoint, self._revision = checkpoint, revision
        self._compute, self._batch_size = compute, batch_size
        config = load_config(checkpoint, revision)
        self._processor = load_processor(checkpoint, revision)
        self.image_token = image_token(self._processor, config, checkpoint)
        self.yes_tokens, self.no_tokens = (
            answer_tokens(self._processor.tokenizer, word, checkpoint) for word in ("yes", "no")
        )
        self._check_prompt()
        with answering(KEY, checkpoint, FILES):  # its configuration alone may make it fail at every picture
            self._inputs([grey()], ["Is it?"])
        self._warned = False
        self._fitting = Fitting("filter", REMEDY)

    def prompt(self, question: str) -> str:
        """Return the text that the model continues, with one place for a picture: by the chat template, if any."""
        if self._processor.chat_template is None:
            return f"{self.image_token}\nQuestion: {question}\nAnswer:"
        content = [{"type": "image"}, {"type": "text", "text": question}]
        return self._processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)

    def yes_probabilities(self, images: Sequence[np.ndarray], questions: Sequence[str]) -> list[float]:
        """Return P(yes) / (P(yes) + P(no)) for each picture, uint8 RGB (H, W, 3) of any size, with its question.

        Raises:
            UserError: the weights cannot be loaded, or the memory does not hold a single picture.
        """
        self._model  # noqa: B018 - loaded first, so that a failure of that is not taken for too large a batch

        def answer(places: Sequence[int]) -> list[float]:
            return self._read(
                self.next_token_logits([images[place] for place in places], [questions[place] for place in places])
            )

        answers: list[float] = []
        for start in range(0, len(images), self._batch_size):
            places = range(start, min(start + self._batch_size, len(images)))
            answers += self._fitting.run(answer, places, "pictures with a question")
        return answers

    def answers(self, images: Sequence[np.ndarray], questions: Sequence[Sequence[str]]) -> list[list[float]]:
        """Return P(yes) / (P(yes) + P(no)) for each picture and each of its questions, as many for every picture.

        A picture is read once for all of its questions, where the model can.

        Raises:
            UserError: as for :meth:`yes_probabilities`.
        """

        def answer(places: Sequence[int]) -> list[list[float]]:
            pictures, texts = [images[place] for place in places], [questions[place] for place in places]
            logits = self._logits_of_all(pictures, texts)
            assert logits is not None  # the template puts pictures first, as it did when this was tried out
            return [list(row) for row in zip(*(self._read(each) for each in logits))]

        if not self.reads_once:
            pairs = [(image, text) for image, texts in zip(images, questions) for text in texts]
            said = iter(self.yes_probabilities([image for image, _ in pairs], [text for _, text in pairs]))
            return [[next(said) for _ in texts] for texts in questions]
        answers: list[list[float]] = []
        for start in range(0, len(images), self._batch_size):
            places = range(start, min(start + self._batch_size, len(images)))
            answers += self._fitting.run(answer, places, "pictures with their questions")
        return answers

    @functools.cached_property
    def reads_once(self) -> bool:
        """Return whether one reading of a picture serves all of its questions, as tried out with a picture of stripes.

        It does not where a model sees the question while it looks at the picture, or counts places by its own rule.
        """
        picture, texts = stripes(), ["Is it?", "Is this a photo of a thing?"]
        apart = self.next_token_logits([picture] * 2, texts)
        try:
            logits = self._logits_of_all([picture], [texts])
        except (TypeError, ValueError, LookupError, AttributeError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and (out_of_memory(error) or is_broken(error)):
                raise
            logger.debug("%s = %r cannot share a reading: %s", KEY, self._checkpoint, error)
            return False
        if logits is None:
            return False
        off = max(float((one[0] - other).abs().max()) for one, other in zip(logits, apart))
        return off <= SAME.get(self._compute.dtype, SAME_HALF) * float(apart.abs().max())

    def _logits_of_all(
        self, images: Sequence[np.ndarray], questions: Sequence[Sequence[str]]
    ) -> list[torch.Tensor] | None:
        """Return the logits, float64 (N, vocabulary) on the CPU, of what follows each question, from one reading.

        None where the prompts differ before the picture, or are not what the processor makes of them.
        """
        import torch

        tokenizer = self._processor.tokenizer
        place = tokenizer.convert_tokens_to_ids(self.image_token)
        apart = []
        for texts in questions:
            prompts = [self.prompt(text) for text in texts]
            numbers = tokenizer(prompts, add_special_tokens=self._adds_tokens(prompts[0])).input_ids
            apart.append(set_apart(numbers, place))
        inputs = self._inputs(images, [texts[0] for texts in questions])
        rows = inputs["input_ids"].tolist()
        if any(each is None or row[-each.own :] != each.ends[0] for row, each in zip(rows, apart)):
            return None
        known = [each for each in apart if each is not None]
        model = self._model
        start = without_ends(inputs.to(model.device, model.dtype), [each.own for each in known])
        with torch.inference_mode():
            logits = answers_to_all(model, start, [each.ends for each in known], self._last_only)
            return [each.cpu().double() for each in logits]

    def next_token_logits(self, images: Sequence[np.ndarray], questions: Sequence[str]) -> torch.Tensor:
        """Return the logits, float64 (N, vocabulary) on the CPU, of what follows each question; all in one batch."""
        import torch

        model = self._model
        inputs = self._inputs(images, questions).to(model.device, model.dtype)
        with torch.inference_mode():
            return model(**inputs, use_cache=False, **self._last_only).logits[:, -1].cpu().double()

    @functools.cached_property
    def _last_only(self) -> dict[str, int]:
        """Return what makes the model give only the last position's logits: a whole prompt's would fill gigabytes."""
        known = "logits_to_keep" in inspect.signature(self._model.forward).parameters
        return {"logits_to_keep": 1} if known else {}

    def _read(self, logits: torch.Tensor) -> list[float]:
        """Return the share of yes in yes and no, a row of logits each.

        Raises:
            UserError: there are values that are no numbers.
        """
        import torch

        check_numbers(logits, f"{KEY} = {self._checkpoint!r}", self._model.dtype, infinite=True)
        yes, no = (torch.logsumexp(logits[:, ids], dim=1) for ids in (self.yes_tokens, self.no_tokens))
        self._check_answered((torch.logaddexp(yes, no) - torch.logsumexp(logits, dim=1)).exp())
        return torch.sigmoid(yes - no).tolist()

    def load(self) -> None:
        """Load the weights now, and ask about a blank picture.

        Raises:
            UserError: the weights cannot be loaded or cannot answer, or the memory does not hold them.
        """
        self._model  # noqa: B018 - loaded by this
        with answering(KEY, self._checkpoint, FILES):
            self.answers([grey()], [["Is it?", "Is it not?"]])

    def _inputs(self, images: Sequence[np.ndarray], questions: Sequence[str]) -> Any:
        """Return what the processor makes of pictures with a question each, all in one batch."""
        from PIL import Image

        prompts = [self.prompt(question) for question in questions]
        return self._processor(
            text=prompts,
            images=[[Image.fromarray(image)] for image in images],
            add_special_tokens=self._adds_tokens(prompts[0]),
            padding=True,
            padding_side="left",  # so that the last position is the end of every prompt
            return_tensors="pt",
        )

    def _adds_tokens(self, prompt: str) -> bool:
        """Return whether the tokenizer is to write the beginning of a text, which a chat template may have written."""
        bos = self._processor.tokenizer.bos_token
        return not (bos and prompt.startswith(bos))

    @functools.cached_property
    def _model(self) -> Any:
        from safetensors import SafetensorError
        from transformers import AutoModelForImageTextToText

        try:
            # the stubs do not know output_loading_info
            model, loading = AutoModelForImageTextToText.from_pretrained(  # pyright: ignore[reportGeneralTypeIssues]
                self._checkpoint,
                revision=self._revision,
                use_safetensors=True,
                trust_remote_code=False,
                dtype=resolve_dtype(self._compute),
                output_loading_info=True,
            )
        except (OSError, ValueError, RuntimeError, KeyError, ImportError, SafetensorError) as error:
            raise cannot_load(self._checkpoint, "weights", error) from error
        if loading["missing_keys"]:
            raise UserError(
                f"{KEY} = {self._checkpoint!r} is incomplete: it has no weights for "
                f"{', '.join(sorted(loading['missing_keys'])[:3])}; choose another checkpoint"
            )
        try:
            return model.to(resolve_device(self._compute)).eval()
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            raise UserError(
                f"{KEY} = {self._checkpoint!r}: the device's memory does not hold it beside the networks that edit; "
                f"{REMEDY}"
            ) from error

    def _check_prompt(self) -> None:
        from jinja2 import TemplateError

        try:
            prompt = self.prompt("Is it?")
        except (TemplateError, ValueError, KeyError, TypeError) as error:
            raise cannot_load(self._checkpoint, "chat template", error) from error
        if prompt.count(self.image_token) != 1 or "Is it?" not in prompt:
            raise UserError(
                f"{KEY} = {self._checkpoint!r}: its chat template leaves out the picture ({self.image_token}) or the "
                "question; choose a checkpoint whose template takes a user's image and text"
            )

    def _check_answered(self, answered: torch.Tensor) -> None:
        """Warn, once, where most of the probability lies on neither yes nor no."""
        share = float(answered.mean())
        if share < LEAST_ANSWERED and not self._warned:
            self._warned = True
            logger.warning(
                "%s = %r gives yes and no together a probability of %.2g only: its answers say little",
                KEY, self._checkpoint, share,
            )  # fmt: skip
