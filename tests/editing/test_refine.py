"""The refining network: all parts load, each one shows in the pictures, and what is wrong is said in one line."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.editing.tiny_pipelines import IP_WEIGHTS, SIDE, save_refiner

from varireal.config import ComputeConfig, EditConfig, InpaintConfig, MemoryConfig, PriorConfig, Recipe, RefineConfig
from varireal.editing import EDITORS
from varireal.editing.refine import Refiner
from varireal.errors import UserError
from varireal.prompts.templates import Sentence

SETTINGS = {
    "guidance_scale": 2.0,
    "num_inference_steps": 2,
    "ip_adapter_scale": 0.6,
    "controlnet_conditioning_scale": 0.8,
}


@pytest.fixture(scope="module")
def refiners(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, dict[str, Any]]:
    """The section `edit.refine` of both families, by whether it is XL."""
    return {xl: save_refiner(tmp_path_factory.mktemp("refiner"), xl) for xl in (True, False)}


def section(refiners: dict[bool, dict[str, Any]], xl: bool = True, **changes: Any) -> RefineConfig:
    """The section, with parts of `ip_adapter` and `controlnet` changed one by one."""
    found = dict(refiners[xl])
    for key, value in changes.items():
        found[key] = {**found[key], **value} if isinstance(found.get(key), dict) else value
    return RefineConfig(**found)


def inputs(count: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    draw = lambda: [rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8) for _ in range(count)]  # noqa: E731
    return {
        "pictures": draw(),
        "edges": [rng.random((SIDE, SIDE)) < 0.2 for _ in range(count)],
        "examples": draw(),
        "sentences": [Sentence(f"a photo of a {colour} jet") for colour in ("red", "blue", "lime")[:count]],
        "seeds": [2**62 + k for k in range(count)],
    }


def difference(one: np.ndarray, other: np.ndarray) -> int:
    return int(np.abs(one.astype(int) - other).max())


@pytest.mark.parametrize("kind", IP_WEIGHTS)
@pytest.mark.parametrize("strength", [1.0, 0.5])
@pytest.mark.parametrize("xl", [True, False])
def test_a_batch_is_refined_as_diffusers_does_it_one_by_one(xl, strength, kind, refiners, compute) -> None:
    """The reference loads everything by diffusers' own calls and gets the image prompt as a picture."""
    import torch
    from diffusers import AutoPipelineForImage2Image, AutoPipelineForText2Image, ControlNetModel
    from PIL import Image

    config = section(refiners, xl, ip_adapter={"weight_name": IP_WEIGHTS[kind]})
    given, steps = inputs(2), {**SETTINGS, "num_inference_steps": 4}
    ours = Refiner(config, compute, strength).refine(**given, **steps)

    auto = AutoPipelineForText2Image if strength == 1 else AutoPipelineForImage2Image
    controlnet = ControlNetModel.from_pretrained(config.controlnet.checkpoint)
    pipe = auto.from_pretrained(config.checkpoint, controlnet=controlnet)
    adapter = config.ip_adapter
    pipe.load_ip_adapter(adapter.checkpoint, subfolder=adapter.subfolder, weight_name=adapter.weight_name)
    pipe.set_ip_adapter_scale(steps.pop("ip_adapter_scale"))
    pipe.set_progress_bar_config(disable=True)
    for k in range(2):
        lines = Image.fromarray(np.repeat(given["edges"][k][..., None] * np.uint8(255), 3, axis=2))
        start = {"image": lines}
        if strength < 1:
            start = {"image": Image.fromarray(given["pictures"][k]), "control_image": lines, "strength": strength}
        theirs = pipe(
            prompt=given["sentences"][k].text,
            **start,
            ip_adapter_image=Image.fromarray(given["examples"][k]),
            height=SIDE,
            width=SIDE,
            generator=torch.Generator().manual_seed(given["seeds"][k]),
            output_type="np",
            **steps,
        ).images[0]
        assert np.abs(ours[k] - theirs * 255).max() <= 1.5


@pytest.mark.parametrize("guidance_scale", [1.0, 3.0])
def test_everything_that_leads_shows_in_the_picture(guidance_scale, refiners, compute) -> None:
    refiner = Refiner(section(refiners), compute, 1.0)
    given = inputs(1)

    def refined(**changes: Any) -> np.ndarray:
        settings = {**given, **SETTINGS, "guidance_scale": guidance_scale}
        return refiner.refine(**{**settings, **changes})[0]

    base = refined()
    assert base.shape == (SIDE, SIDE, 3) and base.dtype == np.uint8
    assert np.array_equal(refined(), base)
    other = inputs(2)
    for changes in (
        {"edges": other["edges"][1:]},
        {"examples": other["examples"][1:]},
        {"sentences": [Sentence("a photo of a blue jet")]},
        {"seeds": [7]},
        {"ip_adapter_scale": 0.0},
        {"controlnet_conditioning_scale": 0.1},
    ):
        assert not np.array_equal(refined(**changes), base), changes
    assert np.array_equal(refined(pictures=other["pictures"][1:]), base)  # from noise, the picture is not looked at
    off = {"ip_adapter_scale": 0.0}
    assert difference(refined(**off), refined(**off, examples=other["examples"][1:])) <= 1
    off = {"controlnet_conditioning_scale": 0.0}
    assert difference(refined(**off), refined(**off, edges=other["edges"][1:])) <= 1


def test_below_strength_1_drawing_starts_from_the_picture(refiners, compute) -> None:
    refiner = Refiner(section(refiners), compute, 0.5)
    given, other = inputs(1), inputs(2)
    settings = {**SETTINGS, "num_inference_steps": 4}
    base = refiner.refine(**given, **settings)[0]
    assert np.array_equal(refiner.refine(**given, **settings)[0], base)
    assert not np.array_equal(refiner.refine(**{**given, "pictures": other["pictures"][1:]}, **settings)[0], base)


def test_the_place_in_a_batch_does_not_matter(refiners, compute) -> None:
    refiner = Refiner(section(refiners), compute, 1.0)
    given = inputs(3)
    together = refiner.refine(**given, **SETTINGS)
    [alone] = refiner.refine(**{name: values[1:2] for name, values in given.items()}, **SETTINGS)
    assert difference(alone, together[1]) <= 1
    given["examples"][0] = 255 - given["examples"][0]
    changed = refiner.refine(**given, **SETTINGS)
    assert not np.array_equal(changed[0], together[0])
    assert np.array_equal(changed[1], together[1])


def test_another_autoencoder_replaces_the_base_s(refiners, compute) -> None:
    folder = Path(refiners[True]["checkpoint"]).parent / "vae"
    changed = section(refiners, vae={"checkpoint": str(folder)})
    assert not np.array_equal(
        Refiner(changed, compute, 1.0).refine(**inputs(1), **SETTINGS)[0],
        Refiner(section(refiners), compute, 1.0).refine(**inputs(1), **SETTINGS)[0],
    )


def test_a_hub_layout_is_read_too(refiners, compute, tmp_path) -> None:
    """A repository with subfolders, whose image encoder lies outside of the adapter's."""
    adapter = tmp_path / "repo"
    shutil.copytree(Path(refiners[True]["ip_adapter"]["checkpoint"]) / "models", adapter / "sdxl_models")
    (adapter / "models").mkdir()
    shutil.move(adapter / "sdxl_models" / "image_encoder", adapter / "models" / "image_encoder")
    shutil.copytree(refiners[True]["controlnet"]["checkpoint"], tmp_path / "control" / "canny" / "small")
    config = section(
        refiners,
        controlnet={"checkpoint": str(tmp_path / "control"), "subfolder": "canny/small"},
        ip_adapter={
            "checkpoint": str(adapter), "subfolder": "sdxl_models", "image_encoder_folder": "models/image_encoder",
        },
    )  # fmt: skip
    expected = Refiner(section(refiners), compute, 1.0).refine(**inputs(1), **SETTINGS)[0]
    assert np.array_equal(Refiner(config, compute, 1.0).refine(**inputs(1), **SETTINGS)[0], expected)


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


def edit_config(refine: RefineConfig, recipe: Recipe, inpaint: Path, attribute: str = "color") -> EditConfig:
    return EditConfig(
        method="diffusion", prior=PriorConfig(source="pictures"), refine=refine,
        inpaint=InpaintConfig(checkpoint=str(inpaint), batch_size=2), recipes={attribute: {"feasible": recipe}},
    )  # fmt: skip


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


def test_the_refiner_gets_the_photo_s_edges_and_the_painted_object_on_grey(
    make_photo, make_job, quick_recipe, compute, tiny_sdxl_inpaint, refiners
) -> None:
    from varireal.editing.pixels import canny_edges
    from varireal.editing.recipe import Refine, lay_out
    from varireal.seeding import derive_seed

    class Listener:
        image_size = 32

        def refine(self, *args: Any, **kwargs: Any) -> list[np.ndarray]:
            self.args, self.kwargs = args, kwargs
            return args[0]

    recipe = quick_recipe.model_copy(update={"refine_guidance_scale": 7.5, "refine_steps": 9, "ip_adapter_scale": 0.4})
    draft = lay_out(make_job(make_photo(), "color"), 3, recipe, None)
    painted = np.full_like(draft.photo, 7)
    listener = Listener()
    Refine(recipe, listener)([dataclasses.replace(draft, picture=painted)])
    pictures, edges, examples, sentences, seeds = listener.args
    assert np.array_equal(pictures[0], painted)
    assert np.array_equal(edges[0], canny_edges(draft.photo, draft.mask))
    assert (examples[0][draft.mask] == 7).all() and (examples[0][~draft.mask] == 100).all()
    assert sentences == [draft.job.sentence] and seeds == [derive_seed("refine", 3)]
    assert listener.kwargs == {
        "guidance_scale": 7.5, "num_inference_steps": 9, "ip_adapter_scale": 0.4, "controlnet_conditioning_scale": 1.0,
    }  # fmt: skip


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


def test_the_gpu_and_cpu_configuration_share_one_path(refiners) -> None:
    """bf16, as on a GPU, runs on a CPU too."""
    refiner = Refiner(section(refiners), ComputeConfig(device="cpu", dtype="bfloat16"), 1.0)
    [picture] = refiner.refine(**inputs(1), **SETTINGS)
    assert picture.shape == (SIDE, SIDE, 3)


def test_offloaded_networks_refine_the_same(refiners, compute, monkeypatch) -> None:
    """The hooks that bring networks to the GPU and back are told that it is the CPU, which they do not mind."""
    monkeypatch.setattr("varireal.editing.pipelines.check_memory", lambda *_: None)
    plain = Refiner(section(refiners), compute, 1.0)
    offloaded = Refiner(section(refiners), compute, 1.0, MemoryConfig(offload=True))
    expected = plain.refine(**inputs(2), **SETTINGS)
    for _ in range(2):
        found = offloaded.refine(**inputs(2), **SETTINGS)
        assert all(np.array_equal(one, other) for one, other in zip(expected, found))
    names = {type(hook.model).__name__ for hook in offloaded._pipeline.pipe._all_hooks}
    assert {"UNet2DConditionModel", "ControlNetModel", "CLIPVisionModelWithProjection", "AutoencoderKL"} <= names
