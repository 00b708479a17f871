"""Masks from any `AutoModelForSemanticSegmentation` checkpoint of transformers."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from varireal.checkpoints import check_checkpoint, checkpoint_identity
from varireal.config import ComputeConfig, SegmentConfig
from varireal.devices import resolve_device, resolve_dtype
from varireal.errors import UserError
from varireal.io import read_image
from varireal.manifest import ImageRecord
from varireal.parallel import available_cores

if TYPE_CHECKING:
    import numpy as np
    import torch

KEY = "segment.checkpoint"
SHOWN_LABELS = 40
METHOD = 1  # raised when the way from photo to mask changes, so that kept masks are made anew


@dataclass(frozen=True)
class _Network:
    model: Any  # transformers' semantic segmentation model
    processor: Any  # its image processor
    object_ids: list[int]  # the labels that count as the object


class ModelSegmenter:
    """A pixel belongs to the object where the most likely label is one of ``object_labels``.

    The network is loaded at the first photo, so that a resumed run whose masks are all there never loads it.
    """

    def __init__(self, config: SegmentConfig, compute: ComputeConfig) -> None:
        if config.checkpoint is None:  # the config's own check says so to a user
            raise ValueError("a ModelSegmenter needs a checkpoint")
        self._checkpoint: str = config.checkpoint
        self._config = config
        self._compute = compute
        check_checkpoint(self._checkpoint, KEY, "config.json")

    def identity(self) -> dict[str, str | int | list[str]]:
        """Return the checkpoint's identity, the labels that count, and the arithmetic."""
        return {
            "source": "model",
            "checkpoint": checkpoint_identity(self._checkpoint, self._config.revision),
            "object_labels": sorted(self._config.object_labels),
            "dtype": self._compute.dtype,
            "method": METHOD,
        }

    def segment(self, photos: Sequence[ImageRecord]) -> list[np.ndarray | None]:
        """Return a mask per photo; photos of different sizes may stand in one batch."""
        network = self._network  # a wrong checkpoint or label is told before any photo is read
        with ThreadPoolExecutor(available_cores()) as pool:  # Pillow decodes outside the interpreter's lock
            images = list(pool.map(lambda photo: read_image(Path(photo.path)), photos))
        return list(_find_masks(network, images))

    @functools.cached_property
    def _network(self) -> _Network:
        from safetensors import SafetensorError
        from transformers import AutoImageProcessor, AutoModelForSemanticSegmentation

        try:
            processor = AutoImageProcessor.from_pretrained(self._checkpoint, revision=self._config.revision)
            model, loading = AutoModelForSemanticSegmentation.from_pretrained(
                self._checkpoint,
                revision=self._config.revision,
                use_safetensors=True,
                dtype=resolve_dtype(self._compute),
                output_loading_info=True,
            )
        except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
            raise UserError(
                f"{KEY} = {self._checkpoint!r} cannot be loaded ({' '.join(str(error).split())[:300]}); it must be a "
                "folder or hub id of a semantic segmentation model of transformers with .safetensors weights and a "
                "preprocessor_config.json"
            ) from error
        if loading["missing_keys"]:
            raise UserError(
                f"{KEY} = {self._checkpoint!r} is no segmentation model: it has no weights for "
                f"{', '.join(sorted(loading['missing_keys'])[:3])}"
            )
        if getattr(processor, "do_center_crop", False):
            raise UserError(
                f"{KEY} = {self._checkpoint!r} looks at a central crop only, so its masks would not fit the photos; "
                "set do_center_crop to false in its preprocessor_config.json, or choose another model"
            )
        object_ids = _object_ids(model.config.id2label, self._config.object_labels)
        return _Network(model.to(resolve_device(self._compute)).eval(), processor, object_ids)


def _find_masks(network: _Network, images: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return the masks, bool (H, W), of uint8 RGB photos (H, W, 3)."""
    import torch

    inputs = [
        network.processor(images=image.copy(), input_data_format="channels_last", return_tensors="pt")["pixel_values"]
        for image in images
    ]
    masks: dict[int, np.ndarray] = {}
    for shape in dict.fromkeys(tuple(pixels.shape) for pixels in inputs):  # a processor may keep aspect ratios
        places = [place for place, pixels in enumerate(inputs) if tuple(pixels.shape) == shape]
        batch = torch.cat([inputs[place] for place in places]).to(network.model.device, network.model.dtype)
        with torch.inference_mode():
            logits = network.model(pixel_values=batch).logits.float()
        for place, scores in zip(places, logits):
            masks[place] = _object_mask(scores, images[place].shape[:2], network.object_ids)
    return [masks[place] for place in range(len(images))]


def _object_ids(id2label: dict[int, str], wanted: Sequence[str]) -> list[int]:
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


def _object_mask(scores: torch.Tensor, size: tuple[int, int], object_ids: list[int]) -> np.ndarray:
    """Return bool (H, W) from float logits (labels, h, w), interpolated before the decision, as SegFormer's are."""
    import torch

    full = torch.nn.functional.interpolate(scores[None], size=size, mode="bilinear", align_corners=False)[0]
    labels = full.argmax(dim=0)
    return torch.isin(labels, torch.tensor(object_ids, device=labels.device)).cpu().numpy()
