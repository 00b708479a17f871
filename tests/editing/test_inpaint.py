"""Pipelines of both families: loading, determinism, embeddings, and errors."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from varireal.config import InpaintConfig, PriorConfig
from varireal.editing.inpaint import Inpainter, PictureMaker
from varireal.errors import UserError
from varireal.prompts.templates import Sentence

SIDE = 32
SETTINGS = {"strength": 1.0, "guidance_scale": 2.0, "num_inference_steps": 2}


@pytest.fixture(params=["tiny_sdxl_inpaint", "tiny_sd_inpaint"])
def checkpoint(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(request.param)


def inputs(count: int) -> dict:
    rng = np.random.default_rng(0)
    mask = np.zeros((SIDE, SIDE), bool)
    mask[8:24, 8:24] = True
    return {
        "pictures": [rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8) for _ in range(count)],
        "masks": [mask] * count,
        "sentences": [Sentence(f"a photo of a {colour} jet") for colour in ("red", "blue", "lime")[:count]],
        "seeds": [2**62 + k for k in range(count)],
    }


def test_a_batch_is_painted_the_same_way_twice_and_each_picture_by_its_own_seed(checkpoint, compute) -> None:
    inpainter = Inpainter(InpaintConfig(checkpoint=str(checkpoint)), compute)
    assert inpainter.image_size == SIDE
    given = inputs(3)
    first = inpainter.paint(**given, **SETTINGS)
    again = Inpainter(InpaintConfig(checkpoint=str(checkpoint)), compute).paint(**given, **SETTINGS)
    for one, other in zip(first, again):
        assert one.shape == (SIDE, SIDE, 3) and one.dtype == np.uint8
        assert np.array_equal(one, other)

    alone = inpainter.paint(**{name: values[1:2] for name, values in given.items()}, **SETTINGS)
    assert np.abs(alone[0].astype(int) - first[1]).max() <= 1  # its place in a batch shows in the last bits only

    given["seeds"][0] += 1
    changed = inpainter.paint(**given, **SETTINGS)
    assert np.abs(changed[0].astype(int) - first[0]).max() > 5
    assert np.array_equal(changed[1], first[1]) and np.array_equal(changed[2], first[2])


@pytest.mark.parametrize(("bias", "folder"), [("decoder.conv_out", "vae"), ("conv_out", "unet")])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_networks_that_give_no_numbers_end_in_one_line_and_in_no_picture(
    checkpoint, compute, tmp_path, bias, folder, value
) -> None:
    copied = Path(shutil.copytree(checkpoint, tmp_path / "spoilt"))
    file = copied / folder / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    tensors[f"{bias}.bias"][:] = value
    save_file(tensors, file, {"format": "pt"})
    inpainter = Inpainter(InpaintConfig(checkpoint=str(copied)), compute)
    with pytest.raises(UserError, match=r"edit\.inpaint\.checkpoint = '.*spoilt'.* no numbers .* in float32") as caught:
        inpainter.paint(**inputs(2), **SETTINGS)
    assert "\n" not in str(caught.value)


def test_strength_and_guidance_reach_the_pipeline(checkpoint, compute) -> None:
    inpainter = Inpainter(InpaintConfig(checkpoint=str(checkpoint), image_size=SIDE), compute)
    given = inputs(1)

    def painted(**changes):
        return inpainter.paint(**given, **{**SETTINGS, "num_inference_steps": 4, **changes})[0].tobytes()

    results = [painted(), painted(strength=0.5), painted(guidance_scale=6.0), painted(guidance_scale=1.0)]
    assert len(set(results)) == 4


def test_a_sentence_is_encoded_once(checkpoint, compute, monkeypatch) -> None:
    inpainter = Inpainter(InpaintConfig(checkpoint=str(checkpoint)), compute)
    pipe = inpainter._pipeline.pipe
    asked = []
    encode = pipe.encode_prompt

    def counting(*args, **kwargs):
        if kwargs.get("prompt") is not None:
            asked.append(kwargs["prompt"])
        return encode(*args, **kwargs)

    monkeypatch.setattr(pipe, "encode_prompt", counting)
    given = inputs(2)
    given["sentences"] = [Sentence("a red jet")] * 2
    inpainter.paint(**given, **SETTINGS)
    inpainter.paint(**given, **SETTINGS)
    assert sorted(asked) == ["", "a red jet"]


def test_embeddings_given_beforehand_paint_what_the_sentence_paints(checkpoint, compute) -> None:
    import torch
    from diffusers import AutoPipelineForInpainting
    from PIL import Image

    given = inputs(1)
    ours = Inpainter(InpaintConfig(checkpoint=str(checkpoint)), compute).paint(**given, **SETTINGS)[0]
    pipe = AutoPipelineForInpainting.from_pretrained(checkpoint)
    pipe.set_progress_bar_config(disable=True)
    theirs = pipe(
        prompt=[sentence.text for sentence in given["sentences"]],
        image=[Image.fromarray(given["pictures"][0])],
        mask_image=[Image.fromarray(given["masks"][0].astype(np.uint8) * 255)],
        height=SIDE,
        width=SIDE,
        generator=[torch.Generator().manual_seed(given["seeds"][0])],
        output_type="np",
        **SETTINGS,
    ).images[0]
    assert np.abs(ours - theirs * 255).max() <= 1


def test_a_picture_that_the_safety_checker_refuses_comes_back_as_it_was(tiny_sd_inpaint, compute, monkeypatch) -> None:
    inpainter = Inpainter(InpaintConfig(checkpoint=str(tiny_sd_inpaint)), compute)
    pipe = inpainter._pipeline.pipe

    def black_out_the_first(image, device, dtype):
        return image * 0, [True] + [False] * (len(image) - 1)

    monkeypatch.setattr(pipe, "run_safety_checker", black_out_the_first)
    given = inputs(2)
    painted = inpainter.paint(**given, **SETTINGS)
    assert np.array_equal(painted[0], given["pictures"][0])
    assert not np.array_equal(painted[1], given["pictures"][1])


def test_the_identity_follows_weights_and_settings(tiny_sd_inpaint, compute, tmp_path) -> None:
    def identity(folder: Path, **settings):
        return json.dumps(Inpainter(InpaintConfig(checkpoint=str(folder), **settings), compute).identity)

    copy = Path(shutil.copytree(tiny_sd_inpaint, tmp_path / "copy"))
    before = json.loads(identity(copy))["weights"]
    assert before == json.loads(identity(tiny_sd_inpaint))["weights"]
    assert identity(copy) != identity(copy, image_size=64)
    with (copy / "unet" / "config.json").open("a") as file:
        file.write(" ")
    assert json.loads(identity(copy))["weights"] != before


def test_pictures_come_from_sentences_in_batches(tiny_sdxl_base, compute) -> None:
    config = PriorConfig(
        source="text_to_image", checkpoint=str(tiny_sdxl_base), num_inference_steps=2, guidance_scale=2.0
    )
    pictures = PictureMaker(config, compute, batch_size=2).make([Sentence("a desert")] * 3, [1, 2, 3])
    assert [picture.shape for picture in pictures] == [(SIDE, SIDE, 3)] * 3
    assert len({picture.tobytes() for picture in pictures}) == 3


def test_a_missing_folder_is_noticed_before_anything_is_loaded(compute, tmp_path) -> None:
    with pytest.raises(UserError, match=r"edit\.inpaint\.checkpoint = .*nowhere.* does not exist"):
        Inpainter(InpaintConfig(checkpoint=str(tmp_path / "nowhere")), compute)


def test_pickled_weights_are_refused(tiny_sd_inpaint, compute, tmp_path) -> None:
    folder = Path(shutil.copytree(tiny_sd_inpaint, tmp_path / "pickled"))
    for weights in folder.rglob("*.safetensors"):
        weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(UserError, match=r"no \.safetensors"):
        Inpainter(InpaintConfig(checkpoint=str(folder)), compute)


def test_a_damaged_checkpoint_is_one_line(tiny_sd_inpaint, compute, tmp_path) -> None:
    folder = Path(shutil.copytree(tiny_sd_inpaint, tmp_path / "damaged"))
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(UserError, match="cannot be loaded") as error:
        Inpainter(InpaintConfig(checkpoint=str(folder)), compute).paint(**inputs(1), **SETTINGS)
    assert "\n" not in str(error.value)


def test_a_size_that_pipelines_cannot_do_is_named(tiny_sd_inpaint, compute) -> None:
    with pytest.raises(UserError, match=r"^edit\.inpaint\.image_size = 30: .* multiple of 8$"):
        Inpainter(InpaintConfig(checkpoint=str(tiny_sd_inpaint), image_size=30), compute)
