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

from varireal.compute.devices import resolve_device, resolve_dtype
from varireal.config import ComputeConfig
from varireal.errors import UserError
from varireal.networks import blank
from varireal.networks.blank import answering
from varireal.networks.checkpoints import check_checkpoint
from varireal.networks.finite import check_numbers
from varireal.networks.memory import Fitting, out_of_memory

if TYPE_CHECKING:
    import numpy as np
    import torch

logger = logging.getLogger(__name__)

KEY = "filter.model"
FILES = "processor_config.json, preprocessor_config.json and config.json"
REMEDY = "set edit.memory.offload to true, or filter.model to a smaller one"
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
            batch_size: pictures with a question that go through the model at once.

        Raises:
            UserError: the checkpoint or its processor is missing, it is no vision-language model that continues a
                text, or its tokenizer has no token for an answer or for the picture's place.
        """
        check_checkpoint(checkpoint, KEY, "config.json")
        self._checkpoint, self._revision = checkpoint, revision
        self._compute, self._batch_size = compute, batch_size
        config = _load_config(checkpoint, revision)
        self._processor = _load_processor(checkpoint, revision)
        self.image_token = _image_token(self._processor, config, checkpoint)
        self.yes_tokens, self.no_tokens = (
            _answer_tokens(self._processor.tokenizer, word, checkpoint) for word in ("yes", "no")
        )
        self._check_prompt()
        with answering(KEY, checkpoint, FILES):  # its configuration alone may make it fail at every picture
            self._inputs([_blank()], ["Is it?"])
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
        import torch

        self._model  # noqa: B018 - loaded first, so that a failure of that is not taken for too large a batch

        def answer(places: Sequence[int]) -> list[float]:
            logits = self.next_token_logits([images[place] for place in places], [questions[place] for place in places])
            check_numbers(logits, f"{KEY} = {self._checkpoint!r}", self._model.dtype, infinite=True)
            yes, no = (torch.logsumexp(logits[:, ids], dim=1) for ids in (self.yes_tokens, self.no_tokens))
            self._check_answered((torch.logaddexp(yes, no) - torch.logsumexp(logits, dim=1)).exp())
            return torch.sigmoid(yes - no).tolist()

        answers: list[float] = []
        for start in range(0, len(images), self._batch_size):
            places = range(start, min(start + self._batch_size, len(images)))
            answers += self._fitting.run(answer, places, "pictures with a question")
        return answers

    def next_token_logits(self, images: Sequence[np.ndarray], questions: Sequence[str]) -> torch.Tensor:
        """Return the logits, float64 (N, vocabulary) on the CPU, of what follows each question; all in one batch."""
        import torch

        model = self._model
        inputs = self._inputs(images, questions).to(model.device, model.dtype)
        # only the last position's logits: those of a whole prompt would fill gigabytes
        last = {"logits_to_keep": 1} if "logits_to_keep" in inspect.signature(model.forward).parameters else {}
        with torch.inference_mode():
            return model(**inputs, use_cache=False, **last).logits[:, -1].cpu().double()

    def load(self) -> None:
        """Load the weights now, and ask about a blank picture.

        Raises:
            UserError: the weights cannot be loaded or cannot answer, or the memory does not hold them.
        """
        self._model  # noqa: B018 - loaded by this
        with answering(KEY, self._checkpoint, FILES):
            self.yes_probabilities([_blank()], ["Is it?"])

    def _inputs(self, images: Sequence[np.ndarray], questions: Sequence[str]) -> Any:
        """Return what the processor makes of pictures with a question each, all in one batch."""
        from PIL import Image

        prompts = [self.prompt(question) for question in questions]
        bos = self._processor.tokenizer.bos_token
        return self._processor(
            text=prompts,
            images=[[Image.fromarray(image)] for image in images],
            add_special_tokens=not (bos and prompts[0].startswith(bos)),  # a chat template may have written it
            padding=True,
            padding_side="left",  # so that the last position is the end of every prompt
            return_tensors="pt",
        )

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
            raise _cannot_load(self._checkpoint, "weights", error) from error
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
            raise _cannot_load(self._checkpoint, "chat template", error) from error
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


def _blank() -> np.ndarray:
    import numpy as np

    return np.full((blank.SIDE, blank.SIDE, 3), 127, np.uint8)


def _load_config(checkpoint: str, revision: str | None) -> Any:
    """Return the configuration of a model that continues a text about pictures."""
    from transformers import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING, AutoConfig

    try:
        config = AutoConfig.from_pretrained(checkpoint, revision=revision, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise _cannot_load(checkpoint, "configuration", error) from error
    if type(config) not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING or config.get_text_config().is_encoder_decoder:
        raise UserError(
            f"{KEY} = {checkpoint!r} is of the type {config.model_type}, which answers no questions about pictures; "
            "give one such as LLaVA-NeXT, Qwen3-VL or SmolVLM"
        )
    return config


def _load_processor(checkpoint: str, revision: str | None) -> Any:
    """Return a processor that has a tokenizer and an image processor, and a token to pad with."""
    from transformers import AutoProcessor

    try:
        processor = AutoProcessor.from_pretrained(checkpoint, revision=revision, trust_remote_code=False)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, ImportError) as error:
        raise _cannot_load(checkpoint, "processor", error) from error
    missing = [part for part in ("tokenizer", "image_processor") if not hasattr(processor, part)]
    if missing:
        raise UserError(
            f"{KEY} = {checkpoint!r} has no {' and no '.join(missing).replace('_', ' ')}; a checkpoint needs the files "
            "that save_pretrained of its processor writes (processor_config.json, tokenizer.json, ...)"
        )
    tokenizer = processor.tokenizer
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token  # padding is masked, so any token does
    return processor


def _image_token(processor: Any, config: Any, checkpoint: str) -> str:
    """Return the token that stands for the picture in a prompt, which the model must know by the same number."""
    token = str(getattr(processor, "image_token", None) or "")
    vocabulary = processor.tokenizer.get_vocab()
    if token not in vocabulary:
        raise UserError(
            f"{KEY} = {checkpoint!r}: its tokenizer has no token for an image"
            f"{f' ({token})' if token else ''}; choose a checkpoint with the processor it was trained with"
        )
    expected = getattr(config, "image_token_id", None)
    if expected not in (None, vocabulary[token]):
        raise UserError(
            f"{KEY} = {checkpoint!r}: the tokenizer's image token {token} is number {vocabulary[token]}, in config.json"
            f" it is {expected}; model and processor do not belong together"
        )
    return token


def _answer_tokens(tokenizer: Any, word: str, checkpoint: str) -> list[int]:
    """Return the numbers of all tokens that read as the word, whatever the case and the spaces around it."""
    numbers = sorted(
        number
        for token, number in tokenizer.get_vocab().items()
        if word in token.casefold() and tokenizer.decode([number]).strip().casefold() == word
    )
    if not numbers:
        raise UserError(
            f"{KEY} = {checkpoint!r}: its tokenizer has no single token for {word!r}, so its answers cannot be read; "
            "choose another checkpoint"
        )
    return numbers


def _cannot_load(checkpoint: str, part: str, error: BaseException) -> UserError:
    reason = " ".join(str(error).split())[:300] or type(error).__name__
    return UserError(
        f"{KEY} = {checkpoint!r}: its {part} cannot be loaded ({reason}); give a folder or hub id of a vision-language "
        "model of transformers with .safetensors weights and its processor"
    )
