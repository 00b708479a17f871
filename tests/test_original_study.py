"""`study=original`: the study as its code ran it, in one group; its numbers, written down here with their meaning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.test_conf import CONF, compose
from tests.test_study_settings import BACKGROUND, KINDS, keys

from varireal.config import AugmentationConfig, Params
from varireal.config.data import ChoiceConfig
from varireal.doctor.stated import published_photos
from varireal.prompts.schema import AttributeSpec, PromptTable
from varireal.prompts.templates import class_prompt
from varireal.segmentation.boxes import Detection, choose

PARK = AttributeSpec(name="city park", phrase="city park", description="A green space.")


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """Each published data set's settings with the study's networks, and with the group too."""
    target = tmp_path_factory.mktemp("composed") / "params.yaml"
    return {
        name: (
            compose(target, [f"dataset={name}", "models=sdxl"]),
            compose(target, [f"dataset={name}", "study=original"]),
        )
        for name in sorted(BACKGROUND)
    }


@pytest.mark.parametrize("name", BACKGROUND)
def test_the_group_brings_the_networks_and_replaces_what_it_names_alone(studies, name) -> None:
    own, original = studies[name]
    named = {key for key in keys(yaml.safe_load((CONF / "study/original.yaml").read_text())) if key != "defaults"}

    def value(settings: Any, key: str) -> Any:
        for part in key.split("."):
            settings = settings.get(part) if isinstance(settings, dict) else None
        return settings

    every = {*keys(own), *keys(original)}
    changed = {key for key in every if value(own, key) != value(original, key)}
    assert changed <= named | {"prompt.sentences"}
    assert all(value(original, key) is not None for key in named)


@pytest.mark.parametrize("name", BACKGROUND)
def test_its_numbers_are_the_studys(studies, name) -> None:
    params = Params.model_validate(studies[name][1])
    assert params.compute.dtype == "float16" and params.clip.model == "ViT-B-16-quickgelu"
    # RandAugment as torchvision has it by default (two operations of magnitude 9), then each with its probability
    strong = {"randaugment_magnitude": 9, "color_jitter": 0.8, "grayscale": 0.2, "blur": 0.2, "solarize": 0.2}
    crops = {"crop_scale_min": 0.25, "flip": True}
    assert params.train.augmentation == AugmentationConfig(**crops, **strong, short_side=320)
    assert (params.train.rounds, params.train.max_steps, params.train.eval_every) == (120, None, 450)
    assert {params.edit.recipe(a, f).refine_steps for a in ("color", "texture") for f in KINDS} == {25}
    assert params.edit.prior.scheduler == "DPMSolverMultistepScheduler"
    # masks are found for pets too, and none is refused; of each the largest contour, filled
    assert params.segment.source == "grounded_sam2"
    assert (params.segment.cleaning.min_fragment, params.segment.cleaning.max_hole) == (1, 1)
    assert (params.segment.min_area, params.segment.max_area, params.segment.max_border) == (0, 1, 1)
    assert (params.filter.rule, params.mix.include_exhausted) == ("mean", True)
    assert params.dataset.val_split == "drawn"


@pytest.mark.parametrize(
    ("name", "train", "val"),
    [
        ("oxford_pets", 2944, 736),  # CoOp's split, which the study trains on, leaves out as many
        ("fgvc_aircraft", 6334, 333),  # of 3,334 and 3,333
        ("stanford_cars", 7737, 407),  # of 8,144
        ("waterbirds", 5694, 300),  # of 4,795 and 1,199
    ],
)
def test_it_trains_on_nearly_all_that_the_study_trained_on(studies, name, train, val) -> None:
    counted = published_photos(Params.model_validate(studies[name][1]).dataset)
    assert counted is not None and (counted[1]["train"], counted[1]["val"]) == (train, val)
    assert studies[name][1]["dataset"]["val_per_class"] is None


@pytest.mark.parametrize("name", BACKGROUND)
def test_of_several_boxes_neither_size_nor_position_chooses(studies, name) -> None:
    choice = Params.model_validate(studies[name][1]).segment.choice
    large, sure = Detection((10, 10, 90, 90), 0.60), Detection((0, 0, 20, 20), 0.61)
    assert choose([large, sure], (100, 100), 0.0, choice) == 1
    assert choose([large, sure], (100, 100), 0.0, ChoiceConfig()) == 0  # of ours: 0.3 x 0.8 + 0.2 for the large one


def test_its_sentences_are_the_studys(studies) -> None:
    params = Params.model_validate(studies["oxford_pets"][1])
    table = PromptTable(domain_word="pet", classes=[], attributes={}, sentences=params.prompt.sentences)
    sentences = [table.sentence(attribute, PARK, "Beagle") for attribute in ("background", "color", "texture")]
    assert sentences == [
        "a high quality photo that pet Beagle is harmonious on the city park: A green space.",
        "a high quality photo of pet Beagle with city park, color change., A green space.",
        "a high quality photo of pet Beagle with detailed city park: A green space., surface texture change.",
    ]
    assert class_prompt("Beagle", "pet", params.clip.sentence) == "a pet photo of a Beagle"


def test_other_networks_and_scales_go_with_it(tmp_path: Path) -> None:
    chosen = ["dataset=fgvc_aircraft", "study=original", "models=tiny", "scale=laptop"]
    params = Params.model_validate(compose(tmp_path / "params.yaml", chosen))
    assert params.edit.inpaint.checkpoint == "models/tiny/sdxl-inpaint" and params.train.rounds is None
    assert params.train.augmentation.solarize == 0.2


def test_a_clone_of_the_studys_repository_is_watched_and_its_lists_are_the_data_sets(tmp_path: Path) -> None:
    chosen = [
        "dataset=stanford_cars",
        "study=original",
        "prompt.source=study",
        "prompt.study.folder=clone/VariReal/src",
    ]
    found = compose(tmp_path / "params.yaml", chosen)
    assert found["watch"]["study"] == "clone/VariReal/src"
    assert Params.model_validate(found).prompt.study.dataset == "stanford_cars"
