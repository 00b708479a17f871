"""The demo autoencoder: linear start, equalised latents, a step of training."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from varireal.datasets.world.render import Scene
from varireal_pretraining.figures import psnr
from varireal_pretraining.images import Bank, RenderedSet
from varireal_pretraining.loop import TrainingStep
from varireal_pretraining.vae import (
    VaeBatches,
    build_vae,
    equalise_latents,
    reconstruct,
    reconstruction_losses,
    to_tensor,
)


def smooth_picture(side: int = 128) -> np.ndarray:
    """Slow waves of different colours, uint8 (1, side, side, 3)."""
    y, x = np.mgrid[:side, :side] / side
    channels = [np.sin(3 * x + 2 * y), np.cos(4 * x - y), np.sin(5 * y - x + 1)]
    return (127.5 + 90 * np.stack(channels, -1)).astype(np.uint8)[None]


def test_linear_start_reconstructs_a_smooth_picture() -> None:
    picture = smooth_picture()
    assert psnr(picture, reconstruct(build_vae(), picture)) > 24


def test_linear_start_keeps_a_flat_colour() -> None:
    """Red stays red: away from the border each channel is within a few grey levels."""
    picture = np.full((1, 128, 128, 3), (198, 26, 32), np.uint8)
    middle = reconstruct(build_vae(), picture)[0, 32:96, 32:96].astype(float)
    assert np.abs(middle - (198, 26, 32)).max() < 6


def test_equalising_changes_latents_but_not_pictures() -> None:
    vae = build_vae()
    picture = smooth_picture()
    before = reconstruct(vae, picture).astype(int)
    batch = to_tensor(np.concatenate([picture, picture[:, ::-1], 255 - picture]))
    variance = vae.encode(batch).latent_dist.logvar.mean((0, 2, 3))
    spread = vae.encode(batch).latent_dist.mean.std((0, 2, 3))
    equalise_latents(vae, batch)
    posterior = vae.encode(batch).latent_dist
    assert torch.allclose(posterior.mean.mean((0, 2, 3)), torch.zeros(4), atol=1e-4)
    assert torch.allclose(posterior.mean.std((0, 2, 3)), torch.ones(4), atol=1e-4)
    assert torch.allclose(posterior.logvar.mean((0, 2, 3)), variance - 2 * spread.log(), atol=1e-4)
    assert np.abs(reconstruct(vae, picture).astype(int) - before).max() <= 1


@pytest.mark.parametrize(("progress", "shape"), [(0.0, (4, 3, 64, 64)), (0.9, (1, 3, 128, 128))])
def test_losses_of_a_step_reach_every_weight(progress: float, shape: tuple[int, ...]) -> None:
    pictures = np.concatenate([smooth_picture()] * 3)
    masks = np.zeros(pictures.shape[:3], np.uint8)
    masks[:, 40:80, 40:80] = 255
    scene = Scene("glider", "desert", "red", None, None)
    batches = VaeBatches(RenderedSet(pictures, masks, [scene] * 3, np.ones(3, bool)), Bank({"a": pictures}, {}), 4)
    step = TrainingStep(0, progress, np.random.default_rng(0), torch.Generator().manual_seed(0))
    batch = batches(step)
    assert batch.shape == shape
    vae = build_vae()
    losses = reconstruction_losses(vae, batch, step.generator)
    losses["loss"].backward()
    assert all(value.isfinite() for value in losses.values())
    assert all(parameter.grad is not None for parameter in vae.parameters())
