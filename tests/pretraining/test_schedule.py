"""The noise schedule shifted to small latents."""

from __future__ import annotations

import pytest
import torch

from varireal_pretraining.schedule import SNR_FACTOR, make_scheduler, shifted_betas, zero_terminal_alphas


def snr(alphas: torch.Tensor) -> torch.Tensor:
    return alphas / (1 - alphas)


@pytest.mark.parametrize("factor", [1.0, 4.0, 8.0])
def test_signal_to_noise_ratio_is_multiplied(factor: float) -> None:
    alphas = (1 - shifted_betas(factor)).cumprod(0)
    ratio = snr(alphas[:-1]) / snr(zero_terminal_alphas()[:-1])
    assert torch.allclose(ratio, torch.full_like(ratio, factor), rtol=1e-6)


def test_ends_in_pure_noise_and_only_there() -> None:
    betas = shifted_betas()
    assert betas[-1] == 1
    assert ((betas > 0) & (betas < 1))[:-1].all()
    assert torch.all(snr((1 - betas).cumprod(0))[:-1].diff() < 0)


def test_first_step_matches_sdxl() -> None:
    """The rescaling leaves the first step alone: alpha_0 = 1 - beta_0 = 1 - 0.00085."""
    assert zero_terminal_alphas()[0].item() == pytest.approx(1 - 0.00085)


def test_the_sampler_uses_the_training_alphas() -> None:
    alphas = (1 - shifted_betas()).cumprod(0)
    sampler = make_scheduler()
    assert torch.allclose(sampler.alphas_cumprod[:-1].double(), alphas[:-1], rtol=1e-3, atol=1e-7)
    assert sampler.config.prediction_type == "v_prediction"
    sampler.set_timesteps(8)
    assert sampler.timesteps[0] == 999
    assert pytest.approx(snr(alphas)[499].item(), rel=1e-6) == SNR_FACTOR * snr(zero_terminal_alphas())[499].item()
