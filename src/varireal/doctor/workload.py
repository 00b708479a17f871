"""How much work a grid means, counted."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from varireal.doctor.findings import Finding

if TYPE_CHECKING:
    from varireal.config import Params


@dataclasses.dataclass(frozen=True)
class Workload:
    """The numbers of a whole run. Photos with unusable masks and edits tried again are not known beforehand."""

    photos: Mapping[str, int]  # by split
    edits_per_cell: int
    # of one attempt at an edit, by cell ("color feasible"); refining included; 0 without a network
    denoising_steps: Mapping[str, int]
    refining_steps: Mapping[str, int]  # those of them that the refining network takes
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
    denoising, refining = {}, {}
    for attribute in grid.attributes:
        for feasibility in grid.feasibilities:
            recipe = edit.recipe(attribute, feasibility)
            cell = f"{attribute} {feasibility}"
            refining[cell] = int(recipe.refine_steps * recipe.refine_strength) if recipe.refine else 0
            steps = int(recipe.num_inference_steps * (recipe.strength if edit.method == "diffusion" else 1))
            denoising[cell] = steps + refining[cell] if edit.method != "paste" else 0
    cells = len(grid.attributes) * len(grid.conditions) + len(grid.control_cells())
    return Workload(
        photos=dict(photos),
        edits_per_cell=(photos["train"] - unmasked) * edit.edits_per_photo,
        denoising_steps=denoising,
        refining_steps=refining,
        max_attempts=params.filter.max_attempts if params.filter.name != "none" else 1,  # it accepts the first
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
    tried = "once" if work.max_attempts == 1 else f"{work.max_attempts} times at most"
    rows = [
        ("edits", f"{work.edits:,} in {len(work.denoising_steps)} cells, each tried {tried}",
         {"edits": work.edits, "cells": len(work.denoising_steps), "max_attempts": work.max_attempts}),
        ("denoising", f"{denoised:,} steps, if every edit passes at once", {"denoising_steps": denoised}),
        ("fine-tunings", f"{work.fine_tunings:,} of {work.steps:,} steps with {work.batch_size} images",
         {"fine_tunings": work.fine_tunings, "optimisation_steps": work.fine_tunings * work.steps}),
        ("looks at val", f"{work.fine_tunings * work.looks:,}, {looked:,} images", {"images": looked}),
        ("predictions", f"{work.models:,} models on {work.photos['test']:,} test photos, {tested:,} images",
         {"models": work.models, "images": tested}),
    ]  # fmt: skip
    return [Finding("work", name, "ok", words, values=values) for name, words, values in rows]
