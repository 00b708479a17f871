"""Probes: networks of transformers for pictures, such as DINOv3 or SigLIP 2's image tower, under a linear layer.

transformers and torch are imported inside the functions: they take seconds.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from varireal.errors import UserError
from varireal.networks.blank import SIDE, answering
from varireal.networks.checkpoints import check_checkpoint, checkpoint_identity
from varireal.networks.clip_weights import shorten
from varireal.networks.finite import check_numbers
from varireal.networks.photos import normalised, resized

if TYPE_CHECKING:
    import numpy as np
    import torch


@dataclasses.dataclass(frozen=True)
class Probe:
    """A backbone under a linear layer, in evaluation mode, and its preprocessing of photos."""

    model: Any  # varireal.training.probe_network.ProbeNetwork
    image_size: int  # side of the square input, in pixels
    mean: tuple[float, ...]  # per channel, of values in [0, 1]
    std: tuple[float, ...]
    preprocessing: str  # settings of the geometry, as JSON: what a resized picture depends on
    geometry: Any  # resize and crop of a PIL picture
    name: str = "probe"  # where params.yaml names it and what it is, for messages
    reads_text: bool = False
    sigmoid: bool = False

    @property
    def device(self) -> torch.device:
        """Return the device the network lies on."""
        return self.model.class_head.weight.device

    def resize(self, image: np.ndarray) -> np.ndarray:
        """Resize and crop a uint8 RGB picture (H, W, 3): uint8 (image_size, image_size, 3)."""
        return resized(image, self.geometry)

    def normalise(self, pixels: torch.Tensor) -> torch.Tensor:
        """Turn resized pixels (N, S, S, 3), uint8 or float in [0, 255], into the network's input (N, 3, S, S)."""
        return normalised(pixels, self.mean, self.std, self.device, self.model.backbone.dtype)

    def encode_images(self, images: Sequence[np.ndarray] | np.ndarray) -> torch.Tensor:
        """Compute the features, float32 (N, D), of uint8 RGB pictures of any size, without gradients, as one batch.

        Raises:
            UserError: the network gives values that are no numbers.
        """
        import numpy as np
        import torch

        pixels = torch.from_numpy(np.stack([self.resize(image) for image in images]))
        with torch.no_grad():
            features = self.image_vectors(self.model, self.normalise(pixels))
        check_numbers(features, self.name, self.model.backbone.dtype)
        return features

    def tokenize(self, sentences: Sequence[str]) -> torch.Tensor:
        """Return the numbers of the classes, int64 (C,), which is all that it takes of them."""
        import torch

        return torch.arange(len(sentences), device=self.device)

    def image_vectors(self, model: Any, inputs: torch.Tensor) -> torch.Tensor:
        """Return the features of pictures, float32 (N, D), of ``model`` or of it with an adapter."""
        return model.encode_image(inputs)

    def class_vectors(self, model: Any, tokens: torch.Tensor) -> torch.Tensor:
        """Return the rows of the linear layer with their biases, (C, D + 1)."""
        return model.class_vectors().float()[tokens]

    def logits(self, images: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        """Return the scores of pictures (N, D) for classes (C, D + 1), (N, C)."""
        return images @ classes[:, :-1].T + classes[:, -1]


def check_probe(model: str, key: str = "clip") -> None:
    """Check a local folder, without importing or downloading anything.

    Raises:
        UserError: the folder, its configuration or its safetensors weights are missing.
    """
    check_checkpoint(model, f"{key}.model", "config.json")


def probe_identity(model: str, revision: str | None, frozen: bool, key: str = "clip") -> str:
    """Name weights and what of them is trained in a content key.

    Raises:
        UserError: the local files are missing.
    """
    check_probe(model, key)
    return f"probe{':frozen' if frozen else ''}:{checkpoint_identity(model, revision)}"


def load_probe(
    model: str,
    revision: str | None,
    classes: int,
    frozen: bool,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    key: str = "clip",
) -> Probe:
    """Load a probe in evaluation mode, with a linear layer that has learned nothing; ``dtype`` None means float32.

    Args:
        model: a folder or a hub id; of a model with two towers that for pictures is taken.
        classes: how many the linear layer tells apart.

    Raises:
        UserError: the checkpoint cannot be loaded, lacks weights, is none for pictures, or LoRA knows no layer of it.
    """
    import torch

    from varireal.training.probe_network import ProbeNetwork

    check_probe(model, key)
    backbone, processor = _load(model, revision, key)
    named = f"{key}.model = {model!r}"
    width = getattr(backbone.config, "hidden_size", None) or getattr(backbone.config, "hidden_sizes", [None])[-1]
    if not isinstance(width, int):
        raise UserError(f"{named} is no network for pictures ({type(backbone).__name__} does not tell its width)")
    network = ProbeNetwork(backbone, width, classes, frozen)
    if not frozen and not network.lora_targets():
        raise UserError(
            f"{named}: {type(backbone).__name__} has no layers for queries and values that LoRA knows; set "
            f"{key}.frozen to true, or choose a transformer"
        )
    network = network.to(device=device, dtype=dtype or torch.float32).eval().requires_grad_(False)
    probe = _add_preprocessing(network, processor, named)
    with answering(f"{key}.model", model, "config.json and preprocessor_config.json"):
        import numpy as np

        probe.logits(
            probe.encode_images([np.full((SIDE, SIDE, 3), 127, np.uint8)]),
            probe.class_vectors(network, probe.tokenize(["a photo"])),
        )
    return probe


def _load(model: str, revision: str | None, key: str) -> tuple[Any, Any]:
    """Load backbone and processor, from safetensors alone and without code that came with them."""
    import torch
    import transformers
    from safetensors import SafetensorError

    source: dict[str, Any] = {"pretrained_model_name_or_path": model, "revision": revision}
    try:
        config = transformers.AutoConfig.from_pretrained(**source)
        processor = transformers.AutoImageProcessor.from_pretrained(**source)
        backbone, loading = transformers.AutoModel.from_pretrained(
            **source,
            config=getattr(config, "vision_config", config),
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError) as error:
        raise UserError(
            f"{key}.model = {model!r} cannot be loaded as a network for pictures ({shorten(error)}); check the folder "
            "or id, and the network; weights are read as .safetensors only"
        ) from error
    if missing := sorted(loading["missing_keys"]):
        raise UserError(
            f"{key}.model = {model!r} lacks {len(missing)} weights of {type(backbone).__name__}, such as {missing[0]}; "
            "choose a checkpoint that is whole"
        )
    return backbone, processor


def _add_preprocessing(network: Any, processor: Any, named: str) -> Probe:
    """Read how a network wants its pictures: scaled to a square, or the middle of what was scaled."""
    from torchvision import transforms
    from torchvision.transforms.functional import pil_modes_mapping

    size = dict(processor.size)
    size = {name: side for name, side in size.items() if side is not None}
    crop = {name: side for name, side in dict(processor.crop_size or {}).items() if side is not None}
    cropped = bool(crop) and getattr(processor, "do_center_crop", False)
    square = {size.get("height"), size.get("width")} if "height" in size else {size.get("shortest_edge")}
    sides = set(crop.values()) if cropped else square
    if len(sides) != 1 or None in sides or (not cropped and "height" not in size):
        raise UserError(
            f"{named} takes pictures of {size}; only square inputs are supported: look at its preprocessor_config.json"
        )
    scaled = (size["height"], size["width"]) if "height" in size else size["shortest_edge"]
    resample = transforms.InterpolationMode.BICUBIC
    for mode in (transforms.InterpolationMode.BILINEAR, transforms.InterpolationMode.LANCZOS):
        if pil_modes_mapping[mode] == processor.resample:
            resample = mode
    side = int(cast("int", sides.pop()))
    steps = [transforms.Resize(scaled, resample), *([transforms.CenterCrop(side)] if cropped else [])]
    told = {"size": size, "crop": crop if cropped else None, "resample": resample.value}
    return Probe(
        model=network,
        image_size=side,
        mean=tuple(processor.image_mean),
        std=tuple(processor.image_std),
        preprocessing=json.dumps(told, sort_keys=True),
        geometry=functools.partial(_apply, steps),
        name=named,
    )


def _apply(steps: Sequence[Any], picture: Any) -> Any:
    """Put a picture through the steps, one after the other."""
    for step in steps:
        picture = step(picture)
    return picture
