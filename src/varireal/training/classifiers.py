"""The kinds of classifiers that are fine-tuned, chosen by name. Networks are loaded late."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from varireal.networks.clip import check_clip, clip_identity, load_clip
from varireal.training.probe import check_probe, load_probe, probe_identity

if TYPE_CHECKING:
    import numpy as np
    import torch

    from varireal.config import ClipConfig


class Classifier(Protocol):
    """A network that photos go through, and what stands for classes there: sentences, or rows of a linear layer."""

    @property
    def model(self) -> Any:
        """Return the network, which gets an adapter."""
        ...

    @property
    def name(self) -> str:
        """Return where params.yaml names it and what it is, for messages."""
        ...

    @property
    def image_size(self) -> int:
        """Return the side of the square input, in pixels."""
        ...

    @property
    def preprocessing(self) -> str:
        """Return what a resized picture depends on."""
        ...

    @property
    def device(self) -> torch.device:
        """Return the device that the network lies on."""
        ...

    @property
    def reads_text(self) -> bool:
        """Tell whether it knows classes by their names, so that it can be tested before any training."""
        ...

    @property
    def sigmoid(self) -> bool:
        """Tell whether it was trained to say of each class by itself if it fits."""
        ...

    def resize(self, image: np.ndarray) -> np.ndarray:
        """Resize and crop a uint8 RGB picture (H, W, 3): uint8 (image_size, image_size, 3)."""
        ...

    def normalise(self, pixels: torch.Tensor) -> torch.Tensor:
        """Turn resized pixels (N, S, S, 3), uint8 or float in [0, 255], into the network's input (N, 3, S, S)."""
        ...

    def encode_images(self, images: Sequence[np.ndarray] | np.ndarray) -> torch.Tensor:
        """Compute the vectors, float32 (N, D), of uint8 RGB pictures of any size, without gradients, as one batch."""
        ...

    def tokenize(self, sentences: Sequence[str]) -> torch.Tensor:
        """Return what it takes of the classes, by their sentences."""
        ...

    def image_vectors(self, model: Any, inputs: torch.Tensor) -> torch.Tensor:
        """Return a vector an image of ``model``, which is its own or that with an adapter."""
        ...

    def class_vectors(self, model: Any, tokens: torch.Tensor) -> torch.Tensor:
        """Return a vector a class of ``model``, from what :meth:`tokenize` returned."""
        ...

    def logits(self, images: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        """Return the scores of images by classes, (N, C), from their vectors in float32."""
        ...


@dataclasses.dataclass(frozen=True)
class Kind:
    """How a kind of classifier is checked, named in content keys and loaded; ``key`` names the section in messages."""

    check: Callable[[ClipConfig, str], None]
    identity: Callable[[ClipConfig, str], str]
    load: Callable[[ClipConfig, int, Any, Any, str], Classifier]  # with the number of classes, device and dtype


CLASSIFIERS = {
    "clip": Kind(
        check=lambda config, key: check_clip(config.model, config.pretrained, key),
        identity=lambda config, key: clip_identity(config.model, config.pretrained, key),
        load=lambda config, _, device, dtype, key: load_clip(config.model, config.pretrained, device, dtype, key),
    ),
    "probe": Kind(
        check=lambda config, key: check_probe(config.model, key),
        identity=lambda config, key: probe_identity(config.model, config.revision, config.frozen, key),
        load=lambda config, classes, device, dtype, key: load_probe(
            config.model, config.revision, classes, config.frozen, device, dtype, key
        ),
    ),
}


def check_classifier(config: ClipConfig, key: str = "clip") -> None:
    """Check the local files of a classifier, without importing or downloading anything.

    Raises:
        UserError: they are missing, or the weights are a pickle.
    """
    CLASSIFIERS[config.kind].check(config, key)


def classifier_identity(config: ClipConfig, key: str = "clip") -> str:
    """Name a classifier in a content key.

    Raises:
        UserError: its local files are missing.
    """
    return CLASSIFIERS[config.kind].identity(config, key)


def load_classifier(
    config: ClipConfig,
    classes: int,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    key: str = "clip",
) -> Classifier:
    """Load a classifier in evaluation mode for so many classes; ``dtype`` None means float32.

    Raises:
        UserError: it cannot be loaded, or is not what its kind needs.
    """
    return CLASSIFIERS[config.kind].load(config, classes, device, dtype, key)
