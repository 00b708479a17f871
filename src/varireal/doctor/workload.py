"""How much work a grid means, counted, and how many hours it takes by stated costs of single steps."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from varireal.doctor.findings import Finding

if TYPE_CHECKING:
    from varireal.config import Params

HOUR = 3600.0
BACKWARD = 2.0  # a training step takes the work of a forward pass for the loss, and at most twice that for gradients


@dataclasses.dataclass(frozen=True)
class Workload:
    """The numbers of a whole run. Photos with unusable masks and edits tried again are not known beforehand."""

    photos: Mapping[str, int]  # by split
    edits_per_cell: int
    # of one attempt at an edit, by cell ("color feasible"); refining included; 0 without a network
    denoising_steps: Mapping[str, int]
    max_attempts: int
    training_processes: int  # cells of train, controls, and the real-only baseline
    fine_tunings: int  # null-a counts too, though it is kept from mixed where mix.ratio is 0.5
    steps: int  # of one fine-tuning
    looks: int  # at val, of one fine-tuning
    batch_size: int

    @property
    def edits(self) -> int:
        return self.edits_per_cell * len(self.denoising_steps)

    @property
    def models(self) -> int:
        """Return how many models predict the test photos: every adapter, and CLIP as it came."""
        return self.fine_tunings + 1


def count_workload(params: Params, photos: Mapping[str, int], unmasked: int = 0) -> Workload:
    """Count from the settings and the number of photos by split, of which ``unmasked`` of train get no edit."""
    grid, edit = params.grid, params.edit
    train = params.train.for_edits((photos["train"] - unmasked) * edit.edits_per_photo)
    denoising = {}
    for attribute in grid.attributes:
        for feasibility in grid.feasibilities:
            recipe = edit.recipe(attribute, feasibility)
            steps = int(recipe.num_inference_steps * (recipe.strength if edit.method == "diffusion" else 1))
            steps += int(recipe.refine_steps * recipe.refine_strength) if recipe.refine else 0
            denoising[f"{attribute} {feasibility}"] = steps if edit.method != "paste" else 0
    cells = len(grid.attributes) * len(grid.conditions) + len(grid.control_cells())
    return Workload(
        photos=dict(photos),
        edits_per_cell=(photos["train"] - unmasked) * edit.edits_per_photo,
        denoising_steps=denoising,
        max_attempts=params.filter.max_attempts,
        training_processes=cells + 1,
        fine_tunings=(cells * len(grid.sources) + 1) * len(grid.seeds),
        steps=train.steps,
        looks=math.ceil(train.steps / train.eval_every),
        batch_size=train.batch_size,
    )


def workload_findings(work: Workload) -> list[Finding]:
    """Return the counts as findings."""
    denoised = work.edits_per_cell * sum(work.denoising_steps.values())
    looked = work.fine_tunings * work.looks * work.photos["val"]
    tested = work.models * work.photos["test"]
    rows = [
        ("edits", f"{work.edits:,} in {len(work.denoising_steps)} cells, each tried {work.max_attempts} times at most",
         {"edits": work.edits, "cells": len(work.denoising_steps), "max_attempts": work.max_attempts}),
        ("denoising", f"{denoised:,} steps, if every edit passes at once", {"denoising_steps": denoised}),
        ("fine-tunings", f"{work.fine_tunings:,} of {work.steps:,} steps with {work.batch_size} images",
         {"fine_tunings": work.fine_tunings, "optimisation_steps": work.fine_tunings * work.steps}),
        ("looks at val", f"{work.fine_tunings * work.looks:,}, {looked:,} images", {"images": looked}),
        ("predictions", f"{work.models:,} models on {work.photos['test']:,} test photos, {tested:,} images",
         {"models": work.models, "images": tested}),
    ]  # fmt: skip
    return [Finding("work", name, "ok", words, values=values) for name, words, values in rows]


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


def stated_hours(work: Workload, classes: int, costs: StepCosts, attempts: float = 1.0) -> dict[str, float]:
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
