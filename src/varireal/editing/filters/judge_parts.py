"""What comes before a judge's weights: configuration, processor, tokens of answers, and pictures to try it out with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from varireal.errors import UserError
from varireal.networks import blank

if TYPE_CHECKING:
    import numpy as np

KEY = "filter.model"


def load_config(checkpoint: str, revision: str | None) -> Any:
    """Return the configuration of a model that continues a text about pictures."""
    from transformers import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING, AutoConfig

    try:
        config = AutoConfig.from_pretrained(checkpoint, revision=revision, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise cannot_load(checkpoint, "configuration", error) from error
    if type(config) not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING or config.get_text_config().is_encoder_decoder:
        raise UserError(
            f"{KEY} = {checkpoint!r} is of the type {config.model_type}, which answers no questions about pictures; "
            "give one such as LLaVA-NeXT, Qwen3-VL or SmolVLM"
        )
    return config


def load_processor(checkpoint: str, revision: str | None) -> Any:
    """Return a processor that has a tokenizer and an image processor, and a token to pad with."""
    from transformers import AutoProcessor

    try:
        processor = AutoProcessor.from_pretrained(checkpoint, revision=revision, trust_remote_code=False)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, ImportError) as error:
        raise cannot_load(checkpoint, "processor", error) from error
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


def image_token(processor: Any, config: Any, checkpoint: str) -> str:
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


def answer_tokens(tokenizer: Any, word: str, checkpoint: str) -> list[int]:
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


def cannot_load(checkpoint: str, part: str, error: BaseException) -> UserError:
    reason = " ".join(str(error).split())[:300] or type(error).__name__
    return UserError(
        f"{KEY} = {checkpoint!r}: its {part} cannot be loaded ({reason}); give a folder or hub id of a vision-language "
        "model of transformers with .safetensors weights and its processor"
    )


def grey() -> np.ndarray:
    """Return a picture without anything on it."""
    import numpy as np

    return np.full((blank.SIDE, blank.SIDE, 3), 127, np.uint8)


def stripes() -> np.ndarray:
    """Return a picture of upright stripes, each lighter than the one before until they begin anew."""
    import numpy as np

    line = np.arange(blank.SIDE, dtype=np.uint8)[:, None] * np.uint8(3)
    return np.tile(line, (blank.SIDE, 1, 3))
