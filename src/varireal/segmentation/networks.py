"""Networks of transformers: checked early, loaded late and from safetensors alone, run in batches of equal shapes."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from varireal.base.files import read_image, read_mapping
from varireal.base.manifest import ImageRecord
from varireal.compute.devices import resolve_device
from varireal.compute.processes import available_cores
from varireal.config import ComputeConfig
from varireal.errors import UserError
from varireal.networks.blank import SIDE, answering
from varireal.networks.checkpoints import check_checkpoint, checkpoint_identity, is_hub_id
from varireal.networks.finite import check_numbers

if TYPE_CHECKING:
    import numpy as np
    import torch

DTYPE = "float32"  # whatever compute.dtype is: half precision moves boxes by pixels, and masks with them


@dataclass(frozen=True)
class NetworkKind:
    """Names an architecture of transformers."""

    words: str  # what it is, for messages
    model: str  # class of transformers that loads the network
    processor: str  # class of transformers that loads its processor
    model_types: tuple[str, ...] = ()  # `model_type` of the checkpoints that fit; empty: the model's class decides


class SegmentNetwork:
    """Runs a network with its processor.

    Both are loaded at first use, so that a resumed run whose masks are all there never loads them.
    """

    def __init__(
        self, kind: NetworkKind, key: str, checkpoint: str | None, revision: str | None, compute: ComputeConfig
    ) -> None:
        """Check the checkpoint.

        Args:
            key: where params.yaml names it, for messages.

        Raises:
            UserError: the folder is missing, holds no checkpoint, or one of another architecture.
        """
        if checkpoint is None:  # the config's own check says so to a user
            raise ValueError(f"{key} is needed")
        self._kind, self._key, self._checkpoint, self._revision = kind, key, checkpoint, revision
        self._compute = compute
        check_checkpoint(checkpoint, key, "config.json")
        if not is_hub_id(checkpoint):
            config = read_mapping(Path(checkpoint, "config.json"), remedy=f"get the checkpoint of {key} again")
            self._check_type(config.get("model_type"))

    @property
    def identity(self) -> dict[str, Any]:
        """Return what decides over the outputs beside the inputs: the weights and the arithmetic."""
        return {"checkpoint": checkpoint_identity(self._checkpoint, self._revision), "dtype": DTYPE}

    @property
    def key(self) -> str:
        """Return where params.yaml names the checkpoint."""
        return self._key

    def answering(self) -> contextlib.AbstractContextManager[None]:
        """Return a block in which the network answers a blank input: one that cannot is named in one line."""
        files = "config.json, processor_config.json and preprocessor_config.json"
        return answering(self._key, self._checkpoint, files)

    @property
    def model(self) -> Any:
        """Return the network of transformers on its device, in evaluation mode."""
        return self._loaded[0]

    @property
    def processor(self) -> Any:
        """Return its processor."""
        return self._loaded[1]

    def load(self) -> None:
        """Load the network now.

        Raises:
            UserError: the checkpoint cannot be loaded, or is of another architecture.
        """
        _ = self._loaded

    def run(
        self, inputs: Sequence[Mapping[str, torch.Tensor]], outputs: Sequence[str], **settings: Any
    ) -> list[dict[str, torch.Tensor]]:
        """Return the named outputs for each input, without the batch dimension; floats as float32.

        Inputs of equal shapes run as one batch. Nothing is padded, so that no result depends on its neighbours.

        Args:
            inputs: the network's arguments, each tensor with a batch dimension of 1.
            outputs: the fields to return, as far as the network gives them.
            settings: further arguments of the network.

        Raises:
            UserError: the device's memory does not hold the batch, or the network gives no numbers.
        """
        import torch

        results: dict[int, dict[str, torch.Tensor]] = {}
        for places in _equal_shapes(inputs):
            batch = {name: torch.cat([inputs[place][name] for place in places]) for name in inputs[places[0]]}
            try:
                with torch.inference_mode():
                    output = self.model(**{name: self._moved(value) for name, value in batch.items()}, **settings)
            except torch.OutOfMemoryError as error:
                raise UserError(
                    f"{self._key}: the device's memory does not hold a batch of {len(places)} photos; lower "
                    "segment.batch_size"
                ) from error
            fields = {name: output[name].float() for name in outputs if output.get(name) is not None}
            for value in fields.values():  # words that are masked score minus infinity
                check_numbers(value, f"{self._key} = {self._checkpoint!r}", self.model.dtype, infinite=True)
            for row, place in enumerate(places):
                results[place] = {name: value[row] for name, value in fields.items()}
        return [results[place] for place in range(len(inputs))]

    def _moved(self, value: torch.Tensor) -> torch.Tensor:
        dtype = self.model.dtype if value.is_floating_point() else value.dtype
        return value.to(self.model.device, dtype)

    @functools.cached_property
    def _loaded(self) -> tuple[Any, Any]:
        import torch
        import transformers
        from safetensors import SafetensorError

        source: dict[str, Any] = {"pretrained_model_name_or_path": self._checkpoint, "revision": self._revision}
        try:
            self._check_type(transformers.AutoConfig.from_pretrained(**source).model_type)
            processor = getattr(transformers, self._kind.processor).from_pretrained(**source)
            model, loading = getattr(transformers, self._kind.model).from_pretrained(
                **source, use_safetensors=True, dtype=getattr(torch, DTYPE), output_loading_info=True
            )
        except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
            if is_hub_id(self._checkpoint) and not self._is_cached():
                raise UserError(
                    f"{self._key} = {self._checkpoint!r} is not in the hub's cache here and could not be fetched: "
                    "connect once, check the name, or name a folder that holds it; masks of the objects do without it "
                    "(varireal init PHOTOS --masks FOLDER --replace, or dataset.masks_root)"
                ) from error
            raise UserError(
                f"{self._key} = {self._checkpoint!r} cannot be loaded ({' '.join(str(error).split())[:300]}); it must "
                f"be a folder or hub id of a {self._kind.words} of transformers with .safetensors weights and its "
                "processor's configuration"
            ) from error
        if loading["missing_keys"]:
            raise UserError(
                f"{self._key} = {self._checkpoint!r} is no {self._kind.words}: it has no weights for "
                f"{', '.join(sorted(loading['missing_keys'])[:3])}"
            )
        return model.to(resolve_device(self._compute)).eval(), processor

    def _is_cached(self) -> bool:
        from huggingface_hub import try_to_load_from_cache

        return isinstance(try_to_load_from_cache(str(self._checkpoint), "config.json", revision=self._revision), str)

    def _check_type(self, model_type: str | None) -> None:
        if self._kind.model_types and model_type not in self._kind.model_types:
            raise UserError(
                f"{self._key} = {self._checkpoint!r} is a checkpoint of type {model_type}; a {self._kind.words} is "
                f"needed (type {' or '.join(self._kind.model_types)})"
            )


def blank_photo() -> np.ndarray:
    """Return a small grey picture, to try a network with."""
    import numpy as np

    return np.full((SIDE, SIDE, 3), 127, np.uint8)


def _equal_shapes(inputs: Sequence[Mapping[str, torch.Tensor]]) -> Iterator[list[int]]:
    """Yield the places of the inputs whose tensors all have the same shapes, in the order of their first."""
    groups: dict[tuple[Any, ...], list[int]] = {}
    for place, tensors in enumerate(inputs):
        shapes = tuple((name, tuple(tensor.shape)) for name, tensor in sorted(tensors.items()))
        groups.setdefault(shapes, []).append(place)
    yield from groups.values()


def read_photos(photos: Sequence[ImageRecord]) -> list[np.ndarray]:
    """Return the photos as uint8 RGB (H, W, 3).

    Raises:
        UserError: a photo cannot be read.
    """
    with ThreadPoolExecutor(available_cores()) as pool:  # Pillow decodes outside the interpreter's lock
        return list(pool.map(lambda photo: read_image(Path(photo.path)), photos))


def resized(scores: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Return scores (channels, h, w) at a photo's size (H, W), interpolated before any decision."""
    import torch

    return torch.nn.functional.interpolate(scores[None], size=size, mode="bilinear", align_corners=False)[0]
