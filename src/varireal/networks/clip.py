"""CLIP models of open_clip, with their tokenizer and their preprocessing of photos.

open_clip and torch are imported inside the functions: they take seconds.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import logging
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from varireal.base.files import sha256_file, sha256_folder
from varireal.base.seeding import forked_torch_rng
from varireal.errors import UserError
from varireal.networks.blank import SIDE, answering
from varireal.networks.clip_weights import (
    HUB,
    LOCAL,
    check_name,
    file_wants_quick_gelu,
    find_local_weights,
    find_weights,
    refuse_pickle,
    shorten,
)
from varireal.networks.finite import check_numbers
from varireal.networks.photos import normalised, resized

if TYPE_CHECKING:
    import numpy as np
    import torch

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Clip:
    """A CLIP in evaluation mode with its tokenizer and its preprocessing of photos."""

    model: Any  # open_clip.CLIP or CustomTextCLIP
    tokenizer: Any  # list of sentences -> int64 (N, context length)
    image_size: int  # side of the square input, in pixels
    mean: tuple[float, ...]  # per channel, of values in [0, 1]
    std: tuple[float, ...]
    preprocessing: str  # open_clip's settings of the geometry, as JSON: what a resized picture depends on
    geometry: Any  # open_clip's resize and crop of a PIL picture: the part of its transform before the normalisation
    name: str = "clip"  # where params.yaml names it and what it is, for messages
    reads_text: bool = True

    @property
    def device(self) -> torch.device:
        """Return the device the model lies on."""
        return self.model.logit_scale.device

    @property
    def logit_scale(self) -> float:
        """Return the factor from cosines to logits (the exponential of the learned parameter)."""
        return float(self.model.logit_scale.detach().float().exp())

    def resize(self, image: np.ndarray) -> np.ndarray:
        """Resize and crop a uint8 RGB picture (H, W, 3) as open_clip does: uint8 (image_size, image_size, 3)."""
        return resized(image, self.geometry)

    def normalise(self, pixels: torch.Tensor) -> torch.Tensor:
        """Turn resized pixels (N, S, S, 3), uint8 or float in [0, 255], into the model's input (N, 3, S, S)."""
        return normalised(pixels, self.mean, self.std, self.device, self.model.logit_scale.dtype)

    @property
    def sigmoid(self) -> bool:
        """Tell whether it was trained to say of each text by itself if it fits, as SigLIP was."""
        return self.model.logit_bias is not None

    def image_vectors(self, model: Any, inputs: torch.Tensor) -> torch.Tensor:
        """Return a unit vector an image, (N, D), of ``model`` or of it with an adapter."""
        return model.encode_image(inputs, normalize=True)

    def class_vectors(self, model: Any, tokens: torch.Tensor) -> torch.Tensor:
        """Return a unit vector a class, (C, D), from the tokens of its sentence."""
        return model.encode_text(tokens, normalize=True)

    def logits(self, images: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        """Return the scores of images (N, D) against classes (C, D), (N, C)."""
        scores = self.logit_scale * images @ classes.T
        return scores + self.model.logit_bias.detach().float() if self.sigmoid else scores

    def encode_images(self, images: Sequence[np.ndarray] | np.ndarray) -> torch.Tensor:
        """Compute the unit feature vectors, float32 (N, D), of uint8 RGB pictures of any size, without gradients.

        All pictures go through the network at once: the caller chooses the batch.
        """
        import numpy as np
        import torch

        pixels = torch.from_numpy(np.stack([self.resize(image) for image in images]))
        with torch.no_grad():
            return self._checked(self.model.encode_image(self.normalise(pixels), normalize=True).float())

    def tokenize(self, sentences: Sequence[str]) -> torch.Tensor:
        """Return the tokens of the sentences on the model's device, int64 (N, context length)."""
        return self.tokenizer(list(sentences)).to(self.device)

    def encode_texts(self, sentences: Sequence[str]) -> torch.Tensor:
        """Compute the unit feature vectors, float32 (N, D), of sentences, without gradients."""
        import torch

        with torch.no_grad():
            return self._checked(self.model.encode_text(self.tokenize(sentences), normalize=True).float())

    def _checked(self, features: torch.Tensor) -> torch.Tensor:
        """Return features that are numbers.

        Raises:
            UserError: some are not.
        """
        check_numbers(features, self.name, self.model.logit_scale.dtype)
        return features


def check_clip(model: str, pretrained: str | None, key: str = "clip") -> None:
    """Check the folder or the weights file, without importing or downloading anything.

    ``key`` is the section of params.yaml that asked for the model, for the message.

    Raises:
        UserError: the folder, its configuration or its safetensors are missing, or the weights are a pickle.
    """
    if model.startswith(LOCAL):
        if pretrained:
            raise UserError(
                f"{key}.pretrained = {pretrained!r} has no meaning beside a folder of weights; set it to null"
            )
        find_local_weights(Path(model.removeprefix(LOCAL)), key)
    elif not model.startswith(HUB) and pretrained and Path(pretrained).suffix:
        refuse_pickle(Path(pretrained), key)


def clip_identity(model: str, pretrained: str | None, key: str = "clip") -> str:
    """Name the weights in a content key: by a hash of local files, else by model and tag.

    ``key`` is what asked for the model, for the message.

    Raises:
        UserError: the local files are missing.
    """
    check_clip(model, pretrained, key)
    if model.startswith(LOCAL):
        return sha256_folder(Path(model.removeprefix(LOCAL)))
    if pretrained and Path(pretrained).is_file():
        inferred = ":quickgelu" if file_wants_quick_gelu(model, Path(pretrained), key) else ""
        return f"{model}:{sha256_file(Path(pretrained))}{inferred}"
    return f"{model}:{pretrained}"


def load_clip(
    model: str,
    pretrained: str | None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    key: str = "clip",
) -> Clip:
    """Load a CLIP in evaluation mode; ``dtype`` None means float32.

    Args:
        model: an open_clip model name, ``local-dir:<folder>`` (open_clip_config.json beside safetensors) or
            ``hf-hub:<id>``.
        pretrained: open_clip's tag or a safetensors file for a model name; None gives random weights, the same
            ones every time. A tag trained with QuickGELU switches it on, as its activations need.
        key: the section of params.yaml that asked for the model, for error messages.

    Raises:
        UserError: the name, the tag or the folder is unknown, or the weights are no safetensors of that model.
    """
    import torch

    check_clip(model, pretrained, key)
    network = _build_network(model, pretrained, key)
    network = network.to(device=device, dtype=dtype or torch.float32).eval().requires_grad_(False)
    clip = _add_preprocessing(network, model, key)
    with answering(f"{key}.model", model, "configuration"):
        _answer_blank(clip)
    return clip


def _answer_blank(clip: Clip) -> None:
    """Let both towers see a blank input.

    Raises:
        UserError: what they answer are no numbers.
    """
    import numpy as np

    clip.encode_images([np.full((SIDE, SIDE, 3), 127, np.uint8)])
    clip.encode_texts(["a photo"])


def _build_network(model: str, pretrained: str | None, key: str) -> Any:
    """Build open_clip's network and load its weights, in the precision they are kept in."""
    import open_clip

    quick_gelu = check_name(model, pretrained, key)
    weights = find_weights(model, pretrained, key)
    try:
        with forked_torch_rng("clip", model), _without_open_clips_warning():
            network: Any = open_clip.create_model(
                model,
                pretrained=pretrained,
                load_weights=False,
                force_quick_gelu=quick_gelu,
                pretrained_image=False,
                pretrained_text=False,
            )
        if weights is not None:
            open_clip.load_checkpoint(cast(Any, network), str(weights))
    except (RuntimeError, ValueError, KeyError, TypeError, OSError) as error:
        raise UserError(
            f"{key}.model = {model!r} cannot be loaded ({shorten(error)}); check the folder or name"
        ) from error
    if weights is None:
        logger.warning("%s.pretrained is null: %s starts from random weights", key, model)
    return network


def _add_preprocessing(network: Any, model: str, key: str) -> Clip:
    """Read how a network wants its pictures, and put its tokenizer beside it."""
    import open_clip
    from open_clip.transform import PreprocessCfg, image_transform_v2

    config = PreprocessCfg(**network.visual.preprocess_cfg)
    sides = {config.size} if isinstance(config.size, int) else set(config.size)
    if len(sides) != 1:
        raise UserError(
            f"{key}.model = {model!r} takes pictures of {config.size} pixels; only square inputs are supported"
        )
    steps = cast(Any, image_transform_v2(config, is_train=False)).transforms
    settings = {name: value for name, value in dataclasses.asdict(config).items() if name not in ("mean", "std")}
    return Clip(
        model=network,
        tokenizer=open_clip.get_tokenizer(model),
        image_size=sides.pop(),
        mean=tuple(config.mean),
        std=tuple(config.std),
        preprocessing=json.dumps(settings),
        geometry=functools.partial(_apply, steps[:-2]),  # the last two turn it into a tensor and normalise
        name=f"{key}.model = {model!r}",
    )


@contextlib.contextmanager
def _without_open_clips_warning() -> Generator[None]:
    """Hold back open_clip's warning "initialized randomly": the weights are loaded right after."""
    root = logging.getLogger()  # open_clip logs there

    def keep(record: logging.LogRecord) -> bool:
        return "initialized randomly" not in record.getMessage()

    root.addFilter(keep)
    try:
        yield
    finally:
        root.removeFilter(keep)


def _apply(steps: Sequence[Any], picture: Any) -> Any:
    """Put a picture through the steps, one after the other."""
    for step in steps:
        picture = step(picture)
    return picture
