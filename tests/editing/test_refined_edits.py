"""Edits that are refined: what the refiner is given, and where the picture changes."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from tests.editing.refining import edit_config, section

from varireal.base.seeding import derive_seed
from varireal.editing import EDITORS
from varireal.editing.drafts import lay_out
from varireal.editing.pixels import blurred_edges, canny_edges
from varireal.editing.recipe import Refine


@pytest.mark.parametrize("attribute", ["color", "texture"])
def test_a_refined_edit_differs_from_the_photo_on_the_object_only(
    attribute, make_photo, make_job, two_pictures, quick_recipe, compute, tiny_sdxl_inpaint, refiners
) -> None:
    recipe = quick_recipe.model_copy(update={"refine_steps": 2, "mask_blur": 0.0, "dilation": 3})
    jobs = [make_job(make_photo("jet/a", 48, 36), attribute), make_job(make_photo("jet/b", 32, 32), attribute)]
    config = edit_config(section(refiners), recipe, tiny_sdxl_inpaint, attribute)
    recipe = config.recipe(attribute, "feasible")
    assert recipe.refine is True
    refined = EDITORS["diffusion"](config, recipe, two_pictures, compute).edit(jobs, [1, 2])
    plain = recipe.model_copy(update={"refine": False})
    painted = EDITORS["diffusion"](config, plain, two_pictures, compute).edit(jobs, [1, 2])
    for draft, other in zip(refined, painted):
        assert draft.region.sum() > draft.mask.sum()
        assert np.array_equal(draft.picture[~draft.mask], draft.photo[~draft.mask])
        assert (draft.picture[draft.mask] != other.picture[draft.mask]).any()
        assert np.array_equal(draft.prior, other.prior)


@pytest.mark.parametrize("attribute", ["background", "color", "texture"])
def test_portraits_panoramas_and_odd_sizes_are_edited_whole(
    attribute, make_photo, make_job, two_pictures, quick_recipe, compute, tiny_sdxl_inpaint, refiners
) -> None:
    """In one batch, at their own size: all of what may change does, and nothing else."""
    shapes = [(91, 45), (30, 201), (17, 23), (61, 128), (32, 32)]
    jobs = [make_job(make_photo(f"jet/{height}x{width}", height, width), attribute) for height, width in shapes]
    recipe = quick_recipe.model_copy(update={"mask_blur": 0.0, "dilation": 0, "refine_steps": 2})
    config = edit_config(section(refiners), recipe, tiny_sdxl_inpaint, attribute)
    editor = EDITORS["diffusion"](config, config.recipe(attribute, "feasible"), two_pictures, compute)
    for draft, shape in zip(editor.edit(jobs, range(len(jobs))), shapes):
        assert draft.picture.shape == (*shape, 3)
        may = ~draft.mask if attribute == "background" else draft.mask
        changed = (draft.picture != draft.photo).any(axis=-1)
        assert changed[may].mean() > 0.95 and not changed[~may].any()


@pytest.mark.parametrize("blurred", [False, True])
def test_the_refiner_gets_the_photo_s_edges_and_the_painted_object_on_grey(
    blurred, make_photo, make_job, quick_recipe, compute, tiny_sdxl_inpaint, refiners
) -> None:
    class Listener:
        image_size = 32

        def refine(self, *args: Any, **kwargs: Any) -> list[np.ndarray]:
            self.args, self.kwargs = args, kwargs
            return args[0]

    recipe = quick_recipe.model_copy(update={"refine_guidance_scale": 7.5, "refine_steps": 9, "ip_adapter_scale": 0.4})
    draft = lay_out(make_job(make_photo(), "color"), 3, recipe, None)
    painted = np.full_like(draft.photo, 7)
    listener = Listener()
    Refine(recipe, listener, blurred)([dataclasses.replace(draft, picture=painted)])
    pictures, edges, examples, sentences, seeds = listener.args
    assert np.array_equal(pictures[0], painted)
    found = blurred_edges if blurred else canny_edges
    assert np.array_equal(edges[0], found(draft.photo, draft.mask))
    assert (examples[0][draft.mask] == 7).all() and (examples[0][~draft.mask] == 100).all()
    assert sentences == [draft.job.sentence] and seeds == [derive_seed("refine", 3)]
    assert listener.kwargs == {
        "guidance_scale": 7.5, "num_inference_steps": 9, "ip_adapter_scale": 0.4, "controlnet_conditioning_scale": 1.0,
    }  # fmt: skip
