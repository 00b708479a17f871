"""Pretrain the demo CLIP: a small ViT and a small text transformer of open_clip, trained on captions that are true.

Each step encodes a few groups of candidate sentences once and asks, for every picture and group, which candidate
is true (cross entropy over the candidates). That is the contrastive loss with the batch's captions replaced by
all captions there could be, which needs far smaller batches than image-caption pairs.

Two things keep the task of fine-tuning open, as it is for web-trained CLIPs on fine-grained classes: a class's
name competes with its siblings' (:data:`varireal.pretraining.captions.FAMILIES`) for a small share of the
pictures only, and natural liveries are rare. The structure that sets the classes apart is described for all.
"""

from __future__ import annotations

import math
from pathlib import Path

import click
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from varireal.io import json_bytes, staged_folder, write_json
from varireal.pretraining.augment import channels_first, paste, random_affine, warp
from varireal.pretraining.captions import Group, attribute_groups, class_groups, family_of_class
from varireal.pretraining.loop import LoopSettings, Step, TrainingLoop, prepare_process

#: The architecture, in open_clip's own words.
MODEL_CONFIG: dict[str, object] = {
    "embed_dim": 128,
    "vision_cfg": {"image_size": 128, "patch_size": 16, "width": 160, "layers": 6, "head_width": 32},
    "text_cfg": {"context_length": 24, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 3},
}
#: Channel statistics of OpenAI's CLIP, kept so that the usual preprocessing fits.
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
WEIGHTS = {"class": 0.5, "family": 0.2, "structure": 0.7, "place": 0.15, "surface": 0.2, "mask": 1.0}
FACT_WEIGHT = 0.25


class MaskHead(nn.Module):
    """Predicts the object's mask from the last patch tokens; dropped after training.

    Asking every patch what it shows gives the tower sixty-four times the supervision of one label a picture.
    """

    def __init__(self, width: int, patch_size: int) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.linear = nn.Linear(width, patch_size**2)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits (count, 1, height, width) for tokens (count, patches, width) of square pictures."""
        side = math.isqrt(tokens.shape[1])
        maps = self.linear(tokens).transpose(1, 2).unflatten(2, (side, side))
        return F.pixel_shuffle(maps, self.patch_size)


def build_clip() -> nn.Module:
    """Return an untrained CLIP of :data:`MODEL_CONFIG`; its towers are open_clip's native transformers."""
    from open_clip.model import CLIP

    return CLIP(**MODEL_CONFIG)


def set_patch_filters(model: nn.Module, pictures: Tensor) -> None:
    """Start the patch embedding from the principal components of the pictures' patches, half whitened.

    A random projection of 768 numbers to 160 mixes fine structure away; the components keep nearly all of it.

    Args:
        pictures: normalised, (count, 3, height, width).
    """
    weight = model.visual.conv1.weight
    size = weight.shape[-1]
    patches = pictures.unfold(2, size, size).unfold(3, size, size).permute(0, 2, 3, 1, 4, 5).reshape(-1, 3 * size**2)
    values, vectors = torch.linalg.eigh(torch.cov(patches.T))
    order = torch.arange(len(values) - 1, len(values) - 1 - weight.shape[0], -1)
    gain = values[order].clamp(min=1e-6) ** -0.25
    filters = vectors[:, order].T * gain[:, None]
    with torch.no_grad():
        weight.copy_(filters.reshape(weight.shape) / (filters @ patches.T).std())


def normalize(pictures: Tensor) -> Tensor:
    """Return float pictures (count, 3, height, width) in 0..255 as CLIP wants them."""
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) * 255 for values in (MEAN, STD))
    return (pictures - mean) / std


def group_loss(logits: Tensor, answer: Tensor, allowed: Tensor | None = None) -> Tensor:
    """Return the mean cross entropy (a scalar) of the pictures whose ``answer`` is not -1.

    Args:
        logits: (pictures, candidates).
        answer: index of the true candidate, int64 (pictures,), or -1 where the picture gives no answer.
        allowed: bool (pictures, candidates); candidates that do not compete for a picture are false.
    """
    if allowed is not None:
        logits = logits.masked_fill(~allowed, -1e4)
    known = int((answer >= 0).sum())
    return F.cross_entropy(logits, answer, ignore_index=-1, reduction="sum") / max(1, known)


def competing_names(classes: Tensor, with_siblings: Tensor) -> Tensor:
    """Return which class names compete for each picture, bool (pictures, classes).

    The names of other families always do; a sibling's only where ``with_siblings`` (bool, (pictures,)) says so.
    """
    family = torch.from_numpy(family_of_class())
    siblings = family[classes][:, None] == family[None]
    itself = classes[:, None] == torch.arange(len(family))[None]
    return ~siblings | itself | with_siblings[:, None]
