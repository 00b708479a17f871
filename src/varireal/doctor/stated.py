"""An estimate of a run's hours from stated costs of single steps: arithmetic, no measurement."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from varireal.doctor.work import Work

HOUR = 3600.0
BACKWARD = 2.0  # a training step takes the work of a forward pass for the loss, and at most twice that for gradients


@dataclasses.dataclass(frozen=True)
class StepCosts:
    """What one GPU is said to do."""

    denoising_step: float  # seconds, of one picture of 1024 x 1024 with guidance, its share of the VAE included
    image_flops: float  # of CLIP's image tower, one forward pass
    text_flops: float  # of its text tower, one sentence
    flops_per_second: float  # of the GPU, in the dtype used
    utilisation: float  # the share of that which is reached


# SDXL: 30 steps in 2.496 s on an H100, "baseline (non-optimized)", https://huggingface.co/stabilityai/
# stable-diffusion-xl-1.0-tensorrt; CLIP ViT-B/16: 35.13 and 5.96 GFLOPs, docs/model_profile.csv of open_clip;
# H100 SXM: 989.4 TFLOP/s dense in bf16, NVIDIA's data sheet; a utilisation of 0.3 is this project's assumption
H100 = StepCosts(2.496 / 30, 35.13e9, 5.96e9, 989.4e12, 0.3)


def stated_hours(work: Work, classes: int, costs: StepCosts, attempts: float = 1.0) -> dict[str, float]:
    """Return hours of one GPU by part of the work.

    * edits: edits of a cell x its denoising steps x seconds a step x ``attempts``, summed over cells;
    * training: fine-tunings x steps x 3 x (batch x image FLOPs + classes x text FLOPs) / FLOPs reached a second;
    * looks at val, and the test photos: images x image FLOPs / FLOPs reached a second.

    Args:
        attempts: mean number of attempts at an edit, between 1 and ``work.max_attempts``.
    """
    reached = costs.flops_per_second * costs.utilisation
    step = (1 + BACKWARD) * (work.batch_size * costs.image_flops + classes * costs.text_flops) / reached
    looked = work.fine_tunings * work.looks * work.photos["val"] + work.models * work.photos["test"]
    denoised = work.edits_per_cell * sum(work.denoising_steps.values())
    return {
        "edits": denoised * costs.denoising_step * attempts / HOUR,
        "training": work.fine_tunings * work.steps * step / HOUR,
        "looks and tests": looked * costs.image_flops / reached / HOUR,
    }
