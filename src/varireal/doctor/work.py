"""How much work the grid means: edits, denoising steps, fine-tunings, optimisation steps, predictions."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from varireal.doctor.finding import Finding

if TYPE_CHECKING:
    from varireal.config import Params


@dataclasses.dataclass(frozen=True)
class Work:
    """The numbers of a whole run. Photos with unusable masks and edits tried again are not known beforehand."""

    photos: Mapping[str, int]  # by split
    edits_per_cell: int
    denoising_steps: Mapping[
        str, int
    ]  # of one attempt at an edit, by cell ("color feasible"); refining included; 0 without a network
    max_attempts: int
    training_processes: int  # cells of train, and the real-only baseline
    fine_tunings: int
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


def count_work(params: Params, photos: Mapping[str, int]) -> Work:
    """Count from the settings and the number of photos by split."""
    grid, train, edit = params.grid, params.train, params.edit
    denoising = {}
    for attribute in grid.attributes:
        for feasibility in grid.feasibilities:
            recipe = edit.recipe(attribute, feasibility)
            steps = int(recipe.num_inference_steps * recipe.strength)
            steps += int(recipe.refine_steps * recipe.refine_strength) if recipe.refine else 0
            denoising[f"{attribute} {feasibility}"] = steps if edit.method == "diffusion" else 0
    cells = len(grid.attributes) * len(grid.conditions)
    return Work(
        photos=dict(photos),
        edits_per_cell=photos["train"] * edit.edits_per_photo,
        denoising_steps=denoising,
        max_attempts=params.filter.max_attempts,
        training_processes=cells + 1,
        fine_tunings=(cells * len(grid.sources) + 1) * len(grid.seeds),
        steps=train.max_steps,
        looks=math.ceil(train.max_steps / train.eval_every),
        batch_size=train.batch_size,
    )


def work_findings(work: Work) -> list[Finding]:
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
    return [Finding("work", name, "ok", found, values=values) for name, found, values in rows]
