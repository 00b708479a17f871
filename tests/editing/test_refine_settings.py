"""The section `edit.refine`: when it is used, what it decides, and what is wrong with it is said in one line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.editing.refining import SETTINGS, edit_config, inputs, section
from tests.editing.tiny_pipelines import IP_WEIGHTS

from varireal.config import EditConfig, InpaintConfig, PriorConfig, Recipe, RefineConfig
from varireal.editing import EDITORS
from varireal.editing.refine import Refiner
from varireal.errors import UserError


def test_the_identity_follows_every_part(refiners, compute, tmp_path) -> None:
    def identity(**changes: Any) -> str:
        return json.dumps(Refiner(section(refiners, **changes), compute, 1.0).identity)

    copies = {}
    for part in ("controlnet", "ip_adapter"):
        copies[part] = shutil.copytree(refiners[True][part]["checkpoint"], tmp_path / part)
        with next(Path(copies[part]).rglob("config.json")).open("a") as file:
            file.write(" ")
    weights = lambda part: json.loads(identity(**{part: {"checkpoint": str(copies[part])}}))[part]["weights"]  # noqa: E731
    base = json.loads(identity())
    for part in copies:
        assert len(base[part]["weights"]) == 64 and weights(part) != base[part]["weights"]
    vae = Path(refiners[True]["checkpoint"]).parent / "vae"
    identities = [
        identity(), identity(image_size=64), identity(vae={"checkpoint": str(vae)}),
        identity(ip_adapter={"weight_name": IP_WEIGHTS["plain"]}),
    ]  # fmt: skip
    assert len(set(identities)) == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"checkpoint": "nowhere"}, r"edit\.refine\.checkpoint = 'nowhere': this folder does not exist"),
        ({"controlnet": {"checkpoint": "nowhere"}}, r"edit\.refine\.controlnet\.checkpoint = 'nowhere'"),
        ({"controlnet": {"subfolder": "canny"}}, r"edit\.refine\.controlnet\.checkpoint = '.*/canny': this folder"),
        ({"vae": {"checkpoint": "nowhere"}}, r"edit\.refine\.vae\.checkpoint = 'nowhere'"),
        ({"ip_adapter": {"weight_name": "no.safetensors"}}, r"weight_name = 'no\.safetensors': there is no file"),
        ({"ip_adapter": {"image_encoder_folder": "eyes"}}, r"image_encoder_folder = '.*/models/eyes': this folder"),
    ],
)  # fmt: skip
def test_a_missing_part_is_noticed_before_anything_is_loaded(changes, message, refiners, compute) -> None:
    with pytest.raises(UserError, match=message) as error:
        Refiner(section(refiners, **changes), compute, 1.0)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("part", ["controlnet", "ip_adapter"])
def test_a_part_of_another_family_is_named(part, refiners, compute) -> None:
    mixed = section(refiners, **{part: {"checkpoint": refiners[False][part]["checkpoint"]}})
    with pytest.raises(UserError, match=rf"edit\.refine\.{part}\.checkpoint = .* family") as error:
        Refiner(mixed, compute, 1.0).refine(**inputs(1), **SETTINGS)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "path", ["../x", "/etc", "a/../b", "a//b", ".hidden", "a/", "", "adapter.bin", "a\nb.safetensors"]
)
def test_paths_stay_within_the_repository_and_weights_are_safetensors(path, refiners) -> None:
    adapter = refiners[True]["ip_adapter"]
    with pytest.raises(ValueError, match="weight_name"):
        section(refiners, ip_adapter={**adapter, "weight_name": path})
    if path not in ("adapter.bin",):
        with pytest.raises(ValueError, match="subfolder"):
            section(refiners, ip_adapter={**adapter, "subfolder": path})


def test_without_refinement_no_refiner_is_looked_for(quick_recipe, compute, tiny_sdxl_inpaint, refiners) -> None:
    gone = section(refiners, checkpoint="nowhere")
    config = edit_config(gone, quick_recipe.model_copy(update={"refine": False}), tiny_sdxl_inpaint)
    editor = EDITORS["diffusion"](config, config.recipe("color", "feasible"), None, compute)
    assert "refine" not in editor.identity and "refine_steps" not in editor.identity["recipe"]
    wanted = edit_config(gone, quick_recipe, tiny_sdxl_inpaint)
    with pytest.raises(UserError, match=r"edit\.refine\.checkpoint = 'nowhere'"):
        EDITORS["diffusion"](wanted, wanted.recipe("color", "feasible"), None, compute)


def test_every_setting_of_the_step_decides_the_edit(quick_recipe, compute, tiny_sdxl_inpaint, refiners) -> None:
    config = edit_config(section(refiners), quick_recipe, tiny_sdxl_inpaint)
    base = config.recipe("color", "feasible")

    def identity(**changes: Any) -> str:
        editor = EDITORS["diffusion"](config, base.model_copy(update=changes), None, compute)
        return json.dumps(editor.identity, sort_keys=True)

    changes = [
        {}, {"refine": False}, {"refine_strength": 0.5}, {"refine_guidance_scale": 5.0}, {"refine_steps": 7},
        {"ip_adapter_scale": 0.1}, {"controlnet_conditioning_scale": 0.3},
    ]  # fmt: skip
    assert len({identity(**change) for change in changes}) == len(changes)


def test_refinement_is_on_where_its_networks_are_named() -> None:
    none = {"method": "diffusion", "prior": PriorConfig(source="pictures"), "inpaint": InpaintConfig(checkpoint="x")}
    named = RefineConfig(
        checkpoint="a", controlnet={"checkpoint": "b"}, ip_adapter={"checkpoint": "c", "weight_name": "d.safetensors"}
    )
    recipes = {"color": {"feasible": Recipe()}, "background": {"feasible": Recipe()}}
    assert not EditConfig(**none, recipes=recipes).recipe("color", "feasible").refine
    assert EditConfig(**none, recipes=recipes, refine=named).recipe("color", "feasible").refine
    assert not EditConfig(**none, recipes=recipes, refine=named).recipe("background", "feasible").refine
    with pytest.raises(
        ValueError, match=r"recipes\.color\.feasible\.refine is true, but refine\.checkpoint is not set"
    ):
        EditConfig(**none, recipes={"color": {"feasible": Recipe(refine=True)}})
    with pytest.raises(ValueError, match=r"recipes\.background\.feasible\.refine"):
        EditConfig(**none, refine=named, recipes={"background": {"feasible": Recipe(refine=True)}})
    with pytest.raises(ValueError, match=r"needs controlnet\.checkpoint and ip_adapter\.weight_name too"):
        RefineConfig(checkpoint="a", ip_adapter={"checkpoint": "c"})
