"""The judge: a small convolutional network that names class, place and surface of rendered pictures.

It measures the edits of the demo and is no part of the study: other architecture, other training pictures and
other loss than the CLIP that filters the edits, so that what fools the filter need not fool the judge.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from varireal.errors import UserError
from varireal.io import json_bytes, read_json, staged_folder
from varireal.pretraining.augment import channels_first
from varireal.world.vocabulary import CLASSES, COLORS, MATERIALS, PLACES

#: What each head tells apart.
NAMES: dict[str, tuple[str, ...]] = {
    "class": CLASSES,
    "place": tuple(PLACES),
    "surface": (*COLORS, *MATERIALS),
}
SCENE_SIDE, OBJECT_SIDE = 128, 80
GREY = 128


def _block(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


class _Tower(nn.Sequential):
    """Halves the picture once per width, two convolutions each, and averages what is left."""

    def __init__(self, widths: Sequence[int]) -> None:
        layers: list[nn.Module] = [_block(3, widths[0], 2)]
        for inputs, outputs in itertools.pairwise(widths):
            layers += [_block(inputs, outputs, 2), _block(outputs, outputs, 1)]
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


class JudgeNet(nn.Module):
    """A tower for the whole picture (class and place) and one for the object alone (surface)."""

    def __init__(
        self, scene: Sequence[int] = (24, 48, 96, 160, 192), surface: Sequence[int] = (24, 40, 64, 96)
    ) -> None:
        super().__init__()
        self.widths = {"scene": list(scene), "surface": list(surface)}
        self.scene, self.surface = _Tower(scene), _Tower(surface)
        self.heads = nn.ModuleDict(
            {name: nn.Linear((surface if name == "surface" else scene)[-1], len(NAMES[name])) for name in NAMES}
        )

    def forward(self, pictures: Tensor, objects: Tensor | None) -> dict[str, Tensor]:
        """Return logits by head.

        Args:
            pictures: float in 0..255, (count, 3, 128, 128).
            objects: what :func:`object_picture` cuts out, (count, 3, 80, 80), or None for no surface.
        """
        seen = self.scene(scaled(pictures))
        logits = {name: self.heads[name](seen) for name in ("class", "place")}
        if objects is not None:
            logits["surface"] = self.heads["surface"](self.surface(scaled(objects)))
        return logits


def scaled(pictures: Tensor) -> Tensor:
    """Return pictures in 0..255 as values around 0, with channels last in memory (faster on a CPU)."""
    return ((pictures - GREY) / 64).contiguous(memory_format=torch.channels_last)


def object_picture(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Cut the object out: grey outside the mask, cropped to its square surroundings, (80, 80, 3) uint8.

    Args:
        image: uint8 RGB (H, W, 3).
        mask: bool (H, W).

    Raises:
        UserError: the mask is empty or of another size.
    """
    if mask.shape != image.shape[:2] or not mask.any():
        raise UserError(f"the judge needs a mask of the picture's size {image.shape[:2]} with an object in it")
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    side = max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1
    top, left = (rows[0] + rows[-1] + 1 - side) // 2, (columns[0] + columns[-1] + 1 - side) // 2
    alone = np.where(mask[..., None], image, np.uint8(GREY))
    padded = np.pad(alone, ((side, side), (side, side), (0, 0)), constant_values=GREY)
    crop = padded[top + side : top + 2 * side, left + side : left + 2 * side]
    return cv2.resize(crop, (OBJECT_SIDE, OBJECT_SIDE), interpolation=cv2.INTER_AREA)


class Judge:
    """A trained :class:`JudgeNet` with names in place of indices."""

    def __init__(self, net: JudgeNet) -> None:
        self.net = net.eval()

    @classmethod
    def load(cls, folder: Path) -> Judge:
        """Load ``judge.safetensors`` and ``judge.json``.

        Raises:
            UserError: a file is missing, or the judge was trained for other words.
        """
        facts = read_json(folder / "judge.json")
        if {name: tuple(words) for name, words in facts["names"].items()} != NAMES:
            raise UserError(f"{folder / 'judge.json'} is for other words than the rendered world's; train it anew")
        net = JudgeNet(**facts["widths"])
        weights = load_file(folder / "judge.safetensors")
        net.load_state_dict({name: v.float() if v.is_floating_point() else v for name, v in weights.items()})
        return cls(net)

    def save(self, folder: Path) -> None:
        """Write the judge (float16) to ``folder``."""
        weights = {n: v.half() if v.is_floating_point() else v for n, v in self.net.state_dict().items()}
        with staged_folder(folder) as staging:
            save_file({name: value.contiguous() for name, value in weights.items()}, staging / "judge.safetensors")
            (staging / "judge.json").write_bytes(json_bytes({"names": NAMES, "widths": self.net.widths}))

    def predict(self, images: Sequence[np.ndarray], masks: Sequence[np.ndarray] | None = None) -> dict[str, list[str]]:
        """Return the most likely ``class`` and ``place`` of every picture and, with masks, ``surface``.

        Args:
            images: uint8 RGB (H, W, 3), square.
            masks: the objects', bool or uint8 (H, W), true or above 127 on the object.
        """
        found: dict[str, list[str]] = {name: [] for name in NAMES if name != "surface" or masks is not None}
        for start in range(0, len(images), 64):
            part = images[start : start + 64]
            pictures = np.stack([cv2.resize(image, (SCENE_SIDE,) * 2, interpolation=cv2.INTER_AREA) for image in part])
            objects = None
            if masks is not None:
                cut = [object_picture(i, _is_object(m)) for i, m in zip(part, masks[start : start + 64], strict=True)]
                objects = channels_first(torch.from_numpy(np.stack(cut)))
            with torch.no_grad():
                logits = self.net(channels_first(torch.from_numpy(pictures)), objects)
            for name, values in logits.items():
                found[name] += [NAMES[name][index] for index in values.argmax(1).tolist()]
        return found


def _is_object(mask: np.ndarray) -> np.ndarray:
    return mask if mask.dtype == bool else mask > 127
