"""How many hours of one GPU a run takes, by calculation: counted calls of networks times what is said of one call.

A step of SDXL's UNet has a published time. Every other network of the edits is taken to do its work, which
`python docs/network_costs.py` counts from its architecture, at the speed that this step reaches.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from varireal.config import Params
    from varireal.doctor.workload import Workload

HOUR = 3600.0
BACKWARD = 2.0  # a training step takes the work of a forward pass for the loss, and at most twice that for gradients
QUESTIONS = 3  # of the filter, about a picture
ENCODED = 2  # pictures that an inpainting takes through the autoencoder: the prior, and what of it is not painted
FLOAT32 = 2.0  # they go through it in float32, whatever compute.dtype is, which is taken to last twice as long
LARGEST = 1024


@dataclasses.dataclass(frozen=True)
class CallCosts:
    """What calls of networks take on one GPU."""

    step: float  # seconds of "UNet 1024"
    # 10^12 floating-point operations of a call, by network and side of its pictures; two rows for UNets and ControlNet,
    # which is one picture with guidance
    work: Mapping[str, float]
    mask: float  # seconds of a photo: detector and segmenter
    image_flops: float  # of CLIP's image tower, one forward pass
    text_flops: float  # of its text tower, one sentence
    flops_per_second: float  # of the GPU, in the dtype used
    utilisation: float  # the share of that which training and predictions reach

    def seconds(self, network: str, side: int | None = None) -> float:
        """Return the time of one call.

        Raises:
            KeyError: nobody counted this network at this size.
        """
        name = network if side is None else f"{network} {side}"
        if name not in self.work:
            raise KeyError(f"a {network} for squares of {side} pixels")
        return self.step * self.work[name] / self.work[f"UNet {LARGEST}"]


def stated_hours(
    params: Params,
    work: Workload,
    classes: int,
    values: int,
    costs: CallCosts,
    attempts: float = 1.0,
    readings: int = 1,
) -> dict[str, float]:
    """Return hours of one GPU by part of a run with SDXL's networks and the judge of `models=sdxl`.

    Args:
        values: of backgrounds and textures, for each of which pictures are drawn.
        attempts: mean number of attempts at an edit, between 1 and ``work.max_attempts``.
        readings: how often the judge reads a picture for its questions.
    """
    edit, tried = params.edit, work.edits_per_cell * attempts
    cells, refined = len(work.denoising_steps), sum(steps > 0 for steps in work.refining_steps.values())
    inpaint, refine, prior = (part.image_size or LARGEST for part in (edit.inpaint, edit.refine, edit.prior))
    refining = sum(work.refining_steps.values())
    steps = sum(work.denoising_steps.values()) - refining
    coded = ENCODED * FLOAT32 * costs.seconds("VAE encoder", inpaint) + costs.seconds("VAE decoder", inpaint)
    read = readings * (costs.seconds("judge, look") + costs.seconds("judge, picture"))
    drawn = edit.prior.num_inference_steps * costs.seconds("UNet of priors", prior) + costs.seconds(
        "VAE decoder", prior
    )
    seconds = {
        "masks": work.photos["train"] * costs.mask if params.segment.source != "dataset" else 0.0,
        "priors": values * edit.prior.bank_size * drawn,
        "inpainting": tried * steps * costs.seconds("UNet", inpaint),
        "refining": tried * refining * (costs.seconds("UNet", refine) + costs.seconds("ControlNet", refine)),
        "autoencoder": tried * (cells * coded + refined * costs.seconds("VAE decoder", refine)),
        "judge": tried * cells * (read + QUESTIONS * costs.seconds("judge, question"))
        if params.filter.name == "vqa"
        else 0.0,
        **_training_seconds(work, classes, costs),
    }
    return {part: each / HOUR for part, each in seconds.items()}


def _training_seconds(work: Workload, classes: int, costs: CallCosts) -> dict[str, float]:
    """Return the seconds of fine-tunings, those of the controls among them, and of predictions."""
    reached = costs.flops_per_second * costs.utilisation
    step = (1 + BACKWARD) * (work.batch_size * costs.image_flops + classes * costs.text_flops) / reached
    looked = work.fine_tunings * work.looks * work.photos["val"] + work.models * work.photos["test"]
    return {
        "training": work.fine_tunings * work.steps * step,
        "looks and tests": looked * costs.image_flops / reached,
    }


# SDXL: 30 steps in 2.496 s on an H100, "baseline (non-optimized)", https://huggingface.co/stabilityai/
# stable-diffusion-xl-1.0-tensorrt; CLIP ViT-B/16: 35.13 and 5.96 GFLOPs, docs/model_profile.csv of open_clip;
# H100 SXM: 989.4 TFLOP/s dense in bf16, NVIDIA's data sheet; a utilisation of 0.3 and half a second for masks are this
# project's assumptions; the work of calls is what docs/network_costs.py prints
H100 = CallCosts(
    step=2.496 / 30,
    work={
        "judge, look": 1.91,
        "judge, picture": 35.53,
        "judge, question": 0.63,
        "VAE encoder 1024": 4.88,
        "VAE decoder 1024": 10.47,
        "VAE encoder 768": 2.61,
        "VAE decoder 768": 5.75,
        "UNet 1024": 13.52,
        "ControlNet 1024": 6.04,
        "UNet of priors 1024": 9.35,
        "UNet 768": 7.28,
        "ControlNet 768": 3.26,
        "UNet of priors 768": 4.3,
    },
    mask=0.5,
    image_flops=35.13e9,
    text_flops=5.96e9,
    flops_per_second=989.4e12,
    utilisation=0.3,
)
