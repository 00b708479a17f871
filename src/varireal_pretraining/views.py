"""Random views of rendered pictures that CLIP, segmenter and judge train on, and what is true of the pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from varireal.datasets.world.vocabulary import CLASSES, COLORS, MATERIALS, PLACES
from varireal_pretraining.images import Bank, RenderedSet
from varireal_pretraining.loop import TrainingStep

SURFACES: tuple[str, ...] = (*COLORS, *MATERIALS)


def random_affine(
    count: int,
    generator: torch.Generator,
    zoom: tuple[float, float] = (0.85, 1.15),
    shift: float = 0.1,
    turn_degrees: float = 0.0,
) -> Tensor:
    """Return sampling matrices (count, 2, 3) for :func:`warp`: flips in half of the draws, zooms, shifts, turns.

    Args:
        zoom: range of the factor by which the picture's content shrinks (above 1: reflected borders appear).
        shift: largest shift, as a share of half the picture's side.
        turn_degrees: largest turn to either side.
    """
    scale = zoom[0] + (zoom[1] - zoom[0]) * torch.rand(count, generator=generator)
    flip = torch.where(torch.rand(count, generator=generator) < 0.5, -1.0, 1.0)
    angle = torch.deg2rad((2 * torch.rand(count, generator=generator) - 1) * turn_degrees)
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0], theta[:, 0, 1] = scale * angle.cos() * flip, -scale * angle.sin()
    theta[:, 1, 0], theta[:, 1, 1] = scale * angle.sin() * flip, scale * angle.cos()
    theta[:, :, 2] = (2 * torch.rand(count, 2, generator=generator) - 1) * shift
    return theta


def warp(pictures: Tensor, theta: Tensor) -> Tensor:
    """Return float pictures (count, channels, height, width) seen through ``theta``; borders are reflected."""
    grid = F.affine_grid(theta, list(pictures.shape), align_corners=False)
    return F.grid_sample(pictures, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def paste(pictures: Tensor, masks: Tensor, places: Tensor, chosen: Tensor) -> Tensor:
    """Put the objects of the ``chosen`` pictures on other places.

    Args:
        pictures: (count, 3, height, width), any dtype.
        masks: bool (count, 1, height, width), true on the object.
        places: like ``pictures``.
        chosen: bool (count,).
    """
    return torch.where(chosen[:, None, None, None] & ~masks, places, pictures)


def channels_first(pictures: np.ndarray) -> Tensor:
    """Return uint8 pictures (count, height, width, 3) as float32 (count, 3, height, width) in 0..255."""
    return torch.from_numpy(np.array(pictures)).permute(0, 3, 1, 2).float()


def scene_answers(data: RenderedSet) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return class, place and surface index of every scene, int64; surface is -1 under a two-coloured livery."""
    places = list(PLACES)
    classes = np.array([CLASSES.index(scene.class_name) for scene in data.scenes])
    place = np.array([places.index(scene.place) for scene in data.scenes])
    surface = [-1 if s.accent else SURFACES.index(s.color or s.material or "") for s in data.scenes]
    return classes, place, np.array(surface)


@dataclass(frozen=True)
class MixedScenes:
    """Pictures in 0..255 (count, 3, height, width), masks (count, 1, height, width), and how their places changed."""

    pictures: Tensor
    masks: Tensor  # bool, true on the object
    plain: np.ndarray  # bool (count,)
    new_place: np.ndarray  # int64 (count,), -1 where the place is the scene's own

    def places(self, own: np.ndarray) -> np.ndarray:
        """Return the index of the place that each picture shows, -1 for a plain colour."""
        return np.where(self.plain, -1, np.where(self.new_place >= 0, self.new_place, own))


class SceneMixer:
    """Shows objects of scenes on other places and, in the first half of a training, on plain colours.

    Args:
        paste_share: share of the pictures with another place.
        plain_share: share on a plain colour at first, so that shapes are learned.
    """

    def __init__(self, data: RenderedSet, bank: Bank, paste_share: float, plain_share: float = 0.0) -> None:
        self.data, self.paste_share, self.plain_share = data, paste_share, plain_share
        self.places = np.concatenate(list(bank.places.values()))
        self.index = np.repeat(np.arange(len(bank.places)), [len(pictures) for pictures in bank.places.values()])

    def draw(self, chosen: np.ndarray, step: TrainingStep) -> MixedScenes:
        """Return the scenes of these indices, some of them elsewhere."""
        rng, count = step.rng, len(chosen)
        masks = torch.from_numpy(self.data.masks[chosen])[:, None] > 127
        pictures, other = channels_first(self.data.images[chosen]), rng.integers(len(self.places), size=count)
        pasted = rng.random(count) < self.paste_share
        pictures = paste(pictures, masks, channels_first(self.places[other]), torch.from_numpy(pasted))
        plain = rng.random(count) < max(0.0, self.plain_share * (1 - 2 * step.progress))
        colors = torch.from_numpy(rng.uniform(0, 255, (count, 3, 1, 1)).astype(np.float32)).expand_as(pictures)
        pictures = paste(pictures, masks, colors, torch.from_numpy(plain))
        return MixedScenes(pictures, masks, plain, np.where(pasted, self.index[other], -1))
