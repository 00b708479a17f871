"""Masks from any `AutoModelForSemanticSegmentation` checkpoint of transformers."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from varireal.base.manifest import ImageRecord
from varireal.config import ComputeConfig, SegmentConfig
from varireal.errors import UserError
from varireal.segmentation.base import Segment
from varireal.segmentation.networks import NetworkKind, SegmentNetwork, blank_photo, read_photos, resized

if TYPE_CHECKING:
    import numpy as np
    import torch

KIND = NetworkKind("segmentation model", "AutoModelForSemanticSegmentation", "AutoImageProcessor")
SHOWN_LABELS = 40
REVISION = 2  # raised when the same photo gets another mask


class ModelSegmenter:
    """Takes the pixels whose most likely label is one of ``object_labels``.

    With ``threshold``, those at which the labels' summed probability is above it.
    """

    def __init__(self, config: SegmentConfig, compute: ComputeConfig, domain_word: str = "") -> None:
        self._config = config
        self._tried = False
        self._network = SegmentNetwork(KIND, "segment.checkpoint", config.checkpoint, config.revision, compute)

    def identity(self) -> dict[str, Any]:
        """Return the network's identity, the labels that count, and from which probability."""
        return {
            "source": "model",
            **self._network.identity,
            "object_labels": sorted(self._config.object_labels),
            "threshold": self._config.threshold,
            "revision": REVISION,
        }

    def phrase(self, photo: ImageRecord) -> None:
        """Return None: words play no part."""

    def load(self) -> None:
        """Load the network, check the labels, and let it look at a blank picture."""
        if self._tried:
            return
        _ = self._object_ids
        with self._network.answering():
            self._network.run([self._inputs(blank_photo())], ["logits"])
        self._tried = True

    def segment(self, photos: Sequence[ImageRecord]) -> list[Segment | None]:
        """Return a mask per photo, an empty one where there is no object; photos may be of different sizes."""
        object_ids = self._object_ids  # a wrong checkpoint or label is told before any photo is read
        images = read_photos(photos)
        inputs = [self._inputs(image) for image in images]
        outputs = self._network.run(inputs, ["logits"])
        return [
            Segment(_object_mask(output["logits"], image.shape[:2], object_ids, self._config.threshold))
            for output, image in zip(outputs, images)
        ]

    def _inputs(self, image: np.ndarray) -> dict[str, torch.Tensor]:
        made = self._network.processor(images=image.copy(), input_data_format="channels_last", return_tensors="pt")
        return {"pixel_values": made["pixel_values"]}

    @functools.cached_property
    def _object_ids(self) -> list[int]:
        if getattr(self._network.processor, "do_center_crop", False):
            raise UserError(
                f"{self._network.key} = {self._config.checkpoint!r} looks at a central crop only, so its masks would "
                "not fit the photos; set do_center_crop to false in its preprocessor_config.json, or choose another "
                "model"
            )
        return _label_numbers(self._network.model.config.id2label, self._config.object_labels)


def _label_numbers(id2label: dict[int, str], wanted: Sequence[str]) -> list[int]:
    """Return the label numbers of the wanted names.

    Raises:
        UserError: the checkpoint has no such label; names those it has.
    """
    names = sorted(set(id2label.values()))
    for label in wanted:
        if label not in names:
            close = difflib.get_close_matches(label, names, n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            more = f" and {len(names) - SHOWN_LABELS} more" if len(names) > SHOWN_LABELS else ""
            raise UserError(
                f"segment.object_labels names {label!r}, which the checkpoint does not know; {hint}"
                f"its labels: {', '.join(names[:SHOWN_LABELS])}{more}"
            )
    return sorted(int(number) for number, name in id2label.items() if name in wanted)


def _object_mask(
    scores: torch.Tensor, size: tuple[int, int], object_ids: list[int], threshold: float | None
) -> np.ndarray:
    """Return bool (H, W) from float logits (labels, h, w), interpolated before the decision, as SegFormer's are."""
    import torch

    full = resized(scores, size)
    if threshold is not None:
        return (full.softmax(dim=0)[object_ids].sum(dim=0) > threshold).cpu().numpy()
    labels = full.argmax(dim=0)
    return torch.isin(labels, torch.tensor(object_ids, device=labels.device)).cpu().numpy()
