"""Classes of photos: the sentences are encoded once, the photos in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from varireal.base.files import read_image
from varireal.compute.processes import available_cores
from varireal.errors import UserError
from varireal.serving.adapter import Labels

if TYPE_CHECKING:
    from varireal.networks.clip import Clip

BATCH = 64  # photos that are decoded and go through the network at once


class Classifier:
    """A CLIP with its classes."""

    def __init__(self, clip: Clip, labels: Labels) -> None:
        from varireal.training.towers import unpadded

        self._clip = clip
        self.classes = tuple(labels.classes)
        with unpadded(clip, labels.sentences) as tokens:
            self._texts = _without_gradients(clip.model.encode_text, tokens)

    def probabilities(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Return the probability of each class, float64 (N, C), for uint8 RGB pictures of any size, as one batch."""
        features = self._clip.encode_images(images)
        return (self._clip.logit_scale * features @ self._texts.T).double().softmax(1).cpu().numpy()


def _without_gradients(encode: Any, tokens: Any) -> Any:
    import torch

    with torch.no_grad():
        return encode(tokens, normalize=True).float()


@dataclass(frozen=True)
class Prediction:
    """The likeliest classes of one photo, or why it cannot be read."""

    photo: Path
    ranked: tuple[tuple[int, float], ...]  # class index and probability, likeliest first
    problem: str | None = None


def ranked(probabilities: np.ndarray, top: int) -> tuple[tuple[int, float], ...]:
    """Return the ``top`` likeliest classes of one photo, probabilities (C,); of equals the lower index comes first."""
    order = np.argsort(-probabilities, kind="stable")[:top]
    return tuple((int(index), float(probabilities[index])) for index in order)


def predict_photos(classifier: Classifier, photos: Sequence[Path], top: int) -> Iterator[Prediction]:
    """Yield a prediction for every photo, in their order; one that cannot be read does not stop the others."""
    with ThreadPoolExecutor(available_cores()) as pool:
        for start in range(0, len(photos), BATCH):
            batch = photos[start : start + BATCH]
            decoded = list(pool.map(_decoded, batch))
            readable = [image for image in decoded if isinstance(image, np.ndarray)]
            rows = iter(classifier.probabilities(readable) if readable else ())
            for photo, image in zip(batch, decoded):
                if isinstance(image, np.ndarray):
                    yield Prediction(photo, ranked(next(rows), top))
                else:
                    yield Prediction(photo, (), image)


def _decoded(path: Path) -> np.ndarray | str:
    try:
        return read_image(path)
    except UserError as error:
        return str(error)
