"""The refining network: it draws as diffusers does, and each of its parts shows in the pictures."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.editing.refining import SETTINGS, inputs, section
from tests.editing.tiny_pipelines import IP_WEIGHTS, SIDE

from varireal.config import ComputeConfig, MemoryConfig
from varireal.editing.refine import RefinePipeline, Refiner
from varireal.prompts.templates import Sentence


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


def test_the_blank_image_prompt_may_be_written_to(refiners, compute, monkeypatch) -> None:
    """Of one that may not be, torch warns everybody who begins to edit."""
    given: list[np.ndarray] = []
    monkeypatch.setattr(RefinePipeline, "pipe", None)
    monkeypatch.setattr(RefinePipeline, "run", lambda self, *values, **_: given.extend(values[4]["examples"]))
    Refiner(section(refiners, image_size=SIDE), compute, 1.0).load()
    assert [picture.flags.writeable for picture in given] == [True]


def test_the_gpu_and_cpu_configuration_share_one_path(refiners) -> None:
    """bf16, as on a GPU, runs on a CPU too."""
    refiner = Refiner(section(refiners), ComputeConfig(device="cpu", dtype="bfloat16"), 1.0)
    [picture] = refiner.refine(**inputs(1), **SETTINGS)
    assert picture.shape == (SIDE, SIDE, 3)


def test_the_networks_that_work_at_every_step_are_compiled_and_the_autoencoder_too(refiners, compute, monkeypatch):
    compiled: list[str] = []
    monkeypatch.setattr("torch.nn.Module.compile", lambda module: compiled.append(type(module).__name__))
    for compiles in (False, True):
        _ = Refiner(section(refiners), compute, 1.0, MemoryConfig(compile=compiles))._pipeline.pipe
        assert compiled == ["UNet2DConditionModel", "ControlNetModel", "Encoder", "Decoder"] * compiles


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
