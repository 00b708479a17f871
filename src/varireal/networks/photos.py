"""How a classifier wants its photos, whatever library its network is of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import torch


def resized(image: np.ndarray, geometry: Callable[[Any], Any]) -> np.ndarray:
    """Return a uint8 RGB picture (H, W, 3) as a network's resize and crop of PIL pictures makes it, uint8 (S, S, 3)."""
    import numpy as np
    from PIL import Image

    return np.asarray(geometry(Image.fromarray(image)))


def normalised(
    pixels: torch.Tensor, mean: Sequence[float], std: Sequence[float], device: torch.device, dtype: torch.dtype
) -> torch.Tensor:
    """Turn resized pixels (N, S, S, 3), uint8 or float in [0, 255], into a network's input (N, 3, S, S)."""
    import torch

    values = pixels.to(device).permute(0, 3, 1, 2).to(torch.float32).div(255)
    middle, spread = (torch.tensor(value, device=device).view(1, 3, 1, 1) for value in (mean, std))
    return values.sub_(middle).div_(spread).to(dtype)
