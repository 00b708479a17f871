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
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from varireal.base.files import json_bytes, read_json, staged_folder
from varireal.datasets.world.vocabulary import CLASSES, PLACES
from varireal.errors import UserError
from varireal_pretraining.views import SURFACES, channels_first

JUDGE = Path("models/demo/judge")
#: What each head tells apart.
NAMES: dict[str, tuple[str, ...]] = {
    "class": CLASSES,
    "place": tuple(PLACES),
    "surface": SURFACES,
}
#: Sides in pixels of what each tower sees: the whole picture, the square around the object, the object alone.
SCENE_SIDE, BOX_SIDE, OBJECT_SIDE = 64, 80, 80
#: How much wider than the object its square is, so that no tip is cut off where the mask is a little short.
BOX_MARGIN = 1.1
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
    """Three towers: the whole picture (place), the square around the object (class), the object alone (surface)."""

    def __init__(
        self,
        place: Sequence[int] = (16, 32, 64, 96),
        class_: Sequence[int] = (32, 64, 128, 192),
        surface: Sequence[int] = (24, 40, 64, 96),
    ) -> None:
        super().__init__()
        self.widths = {"place": list(place), "class_": list(class_), "surface": list(surface)}
        widths = {"place": place, "class": class_, "surface": surface}
        self.towers = nn.ModuleDict({name: _Tower(widths[name]) for name in NAMES})
        self.heads = nn.ModuleDict({name: nn.Linear(widths[name][-1], len(NAMES[name])) for name in NAMES})

    def forward(self, seen: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return logits by head.

        Args:
            seen: for each head what its tower sees, float in 0..255, (count, 3, side, side).
        """
        return {name: self.heads[name](self.towers[name](scaled(pictures))) for name, pictures in seen.items()}


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


def object_box(mask: np.ndarray) -> tuple[float, float, float]:
    """Return centre x, centre y and half the side of the object's square with its margin, as `F.grid_sample` counts.

    Args:
        mask: bool (H, W), square and not empty; -1 is the picture's left or upper border, 1 the right or lower one.
    """
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    side = max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1
    x, y = ((line[0] + line[-1] + 1) / len(mask) - 1 for line in (columns, rows))
    return float(x), float(y), float(BOX_MARGIN * side / len(mask))


def cut_boxes(pictures: Tensor, boxes: Tensor, view: Tensor | None = None) -> Tensor:
    """Return the squares of float pictures (count, 3, H, W), (count, 3, 80, 80); beyond the border they are reflected.

    Args:
        boxes: rows of :func:`object_box`, (count, 3).
        view: sampling matrices (count, 2, 3) inside the square, for random views.
    """
    if view is None:
        view = torch.eye(2, 3).expand(len(boxes), 2, 3)
    theta = boxes[:, 2, None, None] * view
    theta[:, :, 2] += boxes[:, :2]
    grid = F.affine_grid(theta, [len(boxes), 3, BOX_SIDE, BOX_SIDE], align_corners=False)
    return F.grid_sample(pictures, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


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

    def predict(self, images: Sequence[np.ndarray], masks: Sequence[np.ndarray]) -> dict[str, list[str]]:
        """Return the most likely ``class``, ``place`` and ``surface`` of every picture.

        Args:
            images: uint8 RGB (H, W, 3), square, at least 80 px wide.
            masks: the objects', bool or uint8 (H, W), true or above 127 on the object.

        Raises:
            UserError: a mask is empty or of another size than its picture.
        """
        names: dict[str, list[str]] = {name: [] for name in NAMES}
        for start in range(0, len(images), 64):
            part = images[start : start + 64]
            inside = [mask if mask.dtype == bool else mask > 127 for mask in masks[start : start + 64]]
            objects = np.stack([object_picture(i, m) for i, m in zip(part, inside, strict=True)])
            small = np.stack([cv2.resize(image, (SCENE_SIDE,) * 2, interpolation=cv2.INTER_AREA) for image in part])
            boxes = [
                cut_boxes(channels_first(image[None]), torch.tensor([object_box(mask)]))
                for image, mask in zip(part, inside, strict=True)
            ]
            seen = {
                "place": channels_first(small),
                "class": torch.cat(boxes),
                "surface": channels_first(objects),
            }
            with torch.no_grad():
                logits = self.net(seen)
            for name, values in logits.items():
                names[name] += [NAMES[name][index] for index in values.argmax(1).tolist()]
        return names
