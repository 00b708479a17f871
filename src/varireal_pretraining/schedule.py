"""The noise schedule of the demo diffusion models: SDXL's, shifted to small latents."""

from __future__ import annotations

import torch
from diffusers import DPMSolverMultistepScheduler
from torch import Tensor

TRAIN_STEPS = 1000
#: SDXL's betas are made for latents of 64 to 128 cells a side. A structure of the picture covers (64 / 32)^2 = 4 to
#: (128 / 32)^2 = 16 times fewer cells here, whose noise averages out that much less: the signal-to-noise ratio that
#: leaves it as visible is that much larger (Hoogeboom et al. 2023, "simple diffusion", arXiv 2301.11093, section 3.1).
SNR_FACTOR = 8.0


def zero_terminal_alphas(steps: int = TRAIN_STEPS) -> Tensor:
    """Return the cumulative alphas of SDXL's scaled-linear betas, rescaled to zero SNR at the last step.

    The rescaling is algorithm 1 of Lin et al. 2023 (arXiv 2305.08891): shift and scale of the square roots.
    """
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, steps, dtype=torch.float64) ** 2
    root = (1 - betas).cumprod(0).sqrt()
    return ((root - root[-1]) * root[0] / (root[0] - root[-1])) ** 2


def shifted_betas(factor: float = SNR_FACTOR, steps: int = TRAIN_STEPS) -> Tensor:
    """Return betas whose signal-to-noise ratio alpha / (1 - alpha) is ``factor`` times the rescaled SDXL schedule's."""
    alphas = zero_terminal_alphas(steps)
    signal = factor * alphas
    shifted = signal / (signal + 1 - alphas)
    before = torch.cat([torch.ones(1, dtype=shifted.dtype), shifted[:-1]])
    return 1 - shifted / before


def make_scheduler() -> DPMSolverMultistepScheduler:
    """Return the sampler that is saved with the pipelines; its cumulative alphas are those of the training."""
    return DPMSolverMultistepScheduler(
        num_train_timesteps=TRAIN_STEPS,
        trained_betas=shifted_betas().tolist(),
        prediction_type="v_prediction",
        algorithm_type="dpmsolver++",
        solver_order=2,
        timestep_spacing="trailing",
        rescale_betas_zero_snr=True,
    )
