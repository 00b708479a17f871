"""The demo ControlNet and IP-Adapter: their pictures, their parts, a training of three steps."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import (
    AutoPipelineForImage2Image,
    ControlNetModel,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from PIL import Image
from transformers import CLIPImageProcessor, CLIPVisionModelWithProjection

from varireal_pretraining.captions import build_tokenizer, corpus
from varireal_pretraining.clip import build_clip, export_clip
from varireal_pretraining.diffusion import build_text_encoders, build_unet, time_ids
from varireal_pretraining.figures import color_distance
from varireal_pretraining.inpaint import Samples
from varireal_pretraining.ip_adapter import (
    TOKENS,
    WEIGHTS,
    adapter_weights,
    add_ip_adapter,
    convert_image_tower,
    plain_weights,
    save_adapter,
    set_picture_scale,
)
from varireal_pretraining.latents import LatentSet
from varireal_pretraining.loop import TrainingLoop, TrainingSettings
from varireal_pretraining.refine import ADAPTER, CONTROLNET, IMAGE_ENCODER, RefineLoss, build_controlnet, export
from varireal_pretraining.refine_figures import detail_correlation
from varireal_pretraining.refine_pairs import draw_pair, encode_pairs, load_pairs
from varireal_pretraining.vae import build_vae


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained CLIP of the demo's architecture, in float16 as the demo's is."""
    folder = tmp_path_factory.mktemp("clip") / "clip"
    pictures = torch.randn(4, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    export_clip(build_clip(pictures, 0), folder)
    return folder


def conditions(count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
    noise = torch.Generator().manual_seed(0)
    noisy = torch.randn(count, 4, 32, 32, generator=noise)
    states = torch.randn(count, 8, 128, generator=noise)
    added = {"text_embeds": torch.randn(count, 64, generator=noise), "time_ids": time_ids(count)}
    return noisy, torch.full((count,), 300), states, added


def test_the_two_pictures_of_a_pair_show_one_aircraft_in_two_surfaces() -> None:
    pair = draw_pair(0, 3)
    edges = pair.edges > 0
    assert pair.mask.any()
    assert (pair.prompt[~pair.mask] == 100).all()
    assert edges.any()
    # The photo's edges lie at the answer's outline, because both show the same shape in the same place.
    near = np.zeros_like(pair.mask)
    rows, columns = np.nonzero(pair.mask)
    near[max(0, rows.min() - 3) : rows.max() + 4, max(0, columns.min() - 3) : columns.max() + 4] = True
    assert not edges[~near].any()
    again = draw_pair(0, 3)
    assert all(np.array_equal(getattr(pair, name), getattr(again, name)) for name in ("answer", "prompt", "edges"))


def test_image_tower_has_the_hidden_states_of_open_clip(clip_folder: Path) -> None:
    from open_clip import create_model_and_transforms

    original, _, preprocess = create_model_and_transforms(f"local-dir:{clip_folder}")
    original.eval()
    expected: list[torch.Tensor] = []
    for block in original.visual.transformer.resblocks:
        block.register_forward_hook(lambda _block, _inputs, output: expected.append(output))
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8))
    pixels = preprocess(picture)[None]
    # What diffusers makes for itself when it loads an IP-Adapter.
    own = CLIPImageProcessor(size=128, crop_size=128)(picture, return_tensors="pt").pixel_values
    assert torch.allclose(own, pixels, atol=1e-5)
    with torch.no_grad():
        original.visual(pixels)
        states = convert_image_tower(clip_folder)(own, output_hidden_states=True).hidden_states
    assert len(states) == 1 + len(expected)
    for state, truth in zip(states[1:], expected, strict=True):
        assert (state - truth).abs().max() < 1e-4


def test_untrained_parts_change_nothing() -> None:
    unet = build_unet(4, 0)
    torch.nn.init.normal_(unet.conv_out.weight, generator=torch.Generator().manual_seed(1))
    noisy, t, states, added = conditions(2)
    with torch.no_grad():
        plain = unet(noisy, t, states, added_cond_kwargs=added).sample
        down, middle = build_controlnet(unet, 0)(
            noisy, t, states, torch.rand(2, 3, 128, 128), added_cond_kwargs=added, return_dict=False
        )
        add_ip_adapter(unet, 160, 0)
        picture = {"image_embeds": [torch.randn(2, 1, 65, 160)]}
        steered = unet(noisy, t, states, added_cond_kwargs=added | picture).sample
    assert all(not part.any() for part in (*down, middle))
    assert torch.equal(plain, steered)


def test_adapter_file_loads_as_published_ones_do(clip_folder: Path, tmp_path: Path) -> None:
    """diffusers' own loader, which knows the published names, rebuilds an adapter that answers as ours does."""
    unet = build_unet(4, 0)
    torch.nn.init.normal_(unet.conv_out.weight, generator=torch.Generator().manual_seed(1))
    other = copy.deepcopy(unet)
    add_ip_adapter(unet, 160, 0)
    with torch.no_grad():
        for name, value in unet.named_parameters():
            if ".to_v_ip." in name:
                value.normal_(0, 0.2, generator=torch.Generator().manual_seed(2))
    save_adapter(unet, tmp_path / WEIGHTS)
    names = adapter_weights(unet)
    assert names["image_proj.latents"].shape == (1, TOKENS, 64)
    assert {name.split(".")[0] for name in names} == {"image_proj", "ip_adapter"}
    convert_image_tower(clip_folder).save_pretrained(tmp_path / IMAGE_ENCODER)

    text = build_text_encoders(build_tokenizer(corpus()), 0)
    pipeline = StableDiffusionXLPipeline(
        build_vae(), text.first, text.second, text.tokenizer, text.tokenizer, other, scheduler=None
    )
    pipeline.load_ip_adapter(tmp_path, subfolder="", weight_name=WEIGHTS, low_cpu_mem_usage=False)
    assert isinstance(pipeline.image_encoder, CLIPVisionModelWithProjection)
    noisy, t, states, added = conditions(2)
    added |= {"image_embeds": [torch.randn(2, 1, 65, 160, generator=torch.Generator().manual_seed(3))]}
    with torch.no_grad():
        ours, theirs = (net(noisy, t, states, added_cond_kwargs=added).sample for net in (unet, pipeline.unet))
        set_picture_scale(unet, 0.0)
        without = unet(noisy, t, states, added_cond_kwargs=added).sample
    assert (ours - theirs).abs().max() < 0.02 * ours.abs().max()  # float16 weights
    assert (ours - without).abs().max() > 0.1 * ours.abs().max()
    plain = build_unet(4, 1)
    plain.load_state_dict(plain_weights(unet))
    with torch.no_grad():
        assert torch.allclose(plain(noisy, t, states, added_cond_kwargs=added).sample, without, atol=1e-5)


def test_three_steps_on_four_pairs_give_parts_that_refine(clip_folder: Path, tmp_path: Path) -> None:
    vae, text, base = build_vae(), build_text_encoders(build_tokenizer(corpus()), 0), build_unet(4, 0)
    (tmp_path / "pairs").mkdir()
    drawn = [[draw_pair(0, 0), draw_pair(0, 1)], [draw_pair(0, 2), draw_pair(0, 3)]]
    encode_pairs(iter(drawn), 4, vae, convert_image_tower(clip_folder), tmp_path / "pairs")
    pairs = load_pairs(tmp_path / "pairs")
    assert pairs.prompts.shape == (4, 65, 160)
    assert pairs.object[0].mean() == pytest.approx(drawn[0][0].mask.mean(), abs=1e-3)

    bank = np.zeros((16, 1, 4, 32, 32), np.float16)
    latents = LatentSet(bank, bank, bank[0, :, :1], bank, bank, bank[:10], bank[0, 0])
    controlnet, unet = build_controlnet(base, 0), copy.deepcopy(base)
    add_ip_adapter(unet, 160, 0)
    loss = RefineLoss(unet, controlnet, text, pairs, Samples(latents, [], 1.0), 2)
    before = {name: value.clone() for name, value in unet.state_dict().items()}
    parts = {"unet": unet, "controlnet": controlnet}
    history = TrainingLoop(TrainingSettings("refine", 2, steps=12, log_steps=1, state=tmp_path), parts, loss).run()
    assert all(np.isfinite(row["loss"]) for row in history)
    after = unet.state_dict()
    for name in ("encoder_hid_proj.image_projection_layers.0.proj_in.weight", "conv_in.weight"):
        assert not torch.equal(after[name], before[name])
    assert controlnet.controlnet_cond_embedding.conv_out.weight.any()

    out = tmp_path / "sdxl-base"
    export(out, base, unet, controlnet, convert_image_tower(clip_folder), vae, text)
    pipeline = AutoPipelineForImage2Image.from_pretrained(
        out, controlnet=ControlNetModel.from_pretrained(out / CONTROLNET, dtype=torch.float32), dtype=torch.float32
    )
    pipeline.load_ip_adapter(out, subfolder=ADAPTER, weight_name=WEIGHTS)
    pipeline.set_progress_bar_config(disable=True)
    picture = Image.fromarray(drawn[0][0].prompt)
    refined = pipeline(
        "a photo of a red glider aircraft",
        image=picture,
        control_image=Image.fromarray(drawn[0][0].edges).convert("RGB"),
        ip_adapter_image=picture,
        strength=0.5,
        num_inference_steps=4,
        height=128,
        width=128,
        generator=torch.Generator().manual_seed(0),
    ).images[0]
    assert refined.size == (128, 128)
    assert isinstance(pipeline.unet, UNet2DConditionModel)


def test_nearness_by_hand() -> None:
    """Grey levels 0 and 255 are 100 apart in Lab; a picture's detail correlates with itself fully, inverted never."""
    mask = np.zeros((16, 16), bool)
    mask[4:12, 4:12] = True
    black, white = np.zeros((16, 16, 3), np.uint8), np.full((16, 16, 3), 255, np.uint8)
    assert color_distance(black, white, mask) == pytest.approx(100, abs=0.1)
    noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    assert detail_correlation(noise, noise, mask) == pytest.approx(1)
    assert detail_correlation(noise, 255 - noise, mask) == pytest.approx(-1)
