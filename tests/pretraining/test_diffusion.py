"""Regions, latents, the inpainting UNet and its text-to-image copy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionXLInpaintPipeline, UNet2DConditionModel
from PIL import Image

from varireal.datasets.world.render import Scene
from varireal.datasets.world.vocabulary import MATERIALS, PLACES
from varireal_pretraining.base import fold_constant_inputs
from varireal_pretraining.captions import build_tokenizer, caption, corpus
from varireal_pretraining.diffusion import (
    SNR_FACTOR,
    NoiseSchedule,
    build_text_encoders,
    build_unet,
    drop_captions,
    load_pipeline_parts,
    make_sampler,
    predict,
    region_error,
    save_pipeline,
    shifted_betas,
    zero_terminal_alphas,
)
from varireal_pretraining.images import Bank, RenderedSet
from varireal_pretraining.inpaint import KEPT_WEIGHT, DenoisingLoss, Samples
from varireal_pretraining.latents import REGION_SHARES, draw_region, encode_scenes, load_latents
from varireal_pretraining.loop import TrainingLoop, TrainingSettings
from varireal_pretraining.vae import build_vae

SCENE = Scene("glider", "lava", "red", None, None)


def square_mask() -> np.ndarray:
    mask = np.zeros((128, 128), bool)
    mask[40:90, 30:100] = True
    return mask


def test_regions_cover_what_their_names_say() -> None:
    mask = square_mask()
    for seed in range(20):
        regions = {name: draw_region(mask, name, np.random.default_rng(seed)) for name in REGION_SHARES}
        assert not (regions["background"] & mask).any()
        assert regions["background"][0, 0]
        assert regions["object"][mask].all()
        assert not regions["object"][0].any()
        seam = regions["seam"]
        assert not seam[60, 60]  # 20 px inside
        assert not seam[20, 60]  # 20 px outside
        width = int(seam[:60, 60].sum())  # down a line across the upper edge
        assert 2 <= width <= 6
        assert regions["part"].sum() < regions["object"].sum() + 2000


def test_captions_name_what_is_repainted() -> None:
    rng = np.random.default_rng(0)
    background = [caption(SCENE, "background", rng) for _ in range(200)]
    surface = [caption(SCENE, "object", rng) for _ in range(200)]
    assert np.mean(["on a lava field" in text for text in background]) > 0.85
    assert np.mean(["red" in text.split() for text in surface]) > 0.8
    assert all("glider aircraft" in text for text in background + surface)


def test_noise_and_target_solve_for_the_picture() -> None:
    """x0 = sqrt(a) x_t - sqrt(1 - a) v, whatever the noise."""
    schedule = NoiseSchedule()
    alphas = schedule.scheduler.alphas_cumprod
    clean = torch.randn(64, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    t, noisy, v = schedule.add_noise(clean, torch.Generator().manual_seed(1), 1.25)
    signal, spread = alphas.sqrt()[t, None, None, None], (1 - alphas).sqrt()[t, None, None, None]
    assert torch.allclose(signal * noisy - spread * v, clean, atol=1e-5)
    assert t.min() >= 0 and t.max() <= 999


def test_region_error_by_hand() -> None:
    guess, target = torch.zeros(1, 4, 1, 2), torch.zeros(1, 4, 1, 2)
    guess[..., 0], guess[..., 1] = 2.0, 1.0
    mask = torch.tensor([[[[1.0, 0.0]]]])
    assert region_error(guess, target, mask, KEPT_WEIGHT).item() == pytest.approx((4 * 1 + 1 * 0.15) / 1.15)


def test_dropped_captions_are_zero() -> None:
    states, pooled = drop_captions(torch.ones(400, 2, 3), torch.ones(400, 3), 0.1, torch.Generator().manual_seed(0))
    dropped = pooled[:, 0] == 0
    assert torch.equal(dropped, states[:, 0, 0] == 0)
    assert 20 <= dropped.sum() <= 60


def test_folding_is_exact_away_from_the_border() -> None:
    """The first convolution sees the same sum, whether the constants are inputs or part of the bias."""
    inpaint, base = build_unet(9, 0), build_unet(4, 1)
    grey, noisy = torch.tensor([0.3, -0.7, 0.1, 0.5]), torch.randn(2, 4, 32, 32)
    fold_constant_inputs(inpaint, grey, base)
    constants = torch.cat([torch.ones(2, 1, 32, 32), grey[None, :, None, None].expand(2, -1, 32, 32)], 1)
    whole = inpaint.conv_in(torch.cat([noisy, constants], 1))
    folded = base.conv_in(noisy)
    assert torch.allclose(whole[..., 1:-1, 1:-1], folded[..., 1:-1, 1:-1], atol=1e-5)
    assert not torch.allclose(whole[..., 0, :], folded[..., 0, :], atol=1e-3)
    others = {key: value for key, value in inpaint.state_dict().items() if not key.startswith("conv_in")}
    assert all(torch.equal(base.state_dict()[key], value) for key, value in others.items())


def test_three_steps_on_eight_pictures_give_a_pipeline_that_edits(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (8, 128, 128, 3), dtype=np.uint8)
    masks = np.repeat(square_mask()[None].astype(np.uint8) * 255, 8, 0)
    bank = Bank(dict.fromkeys(PLACES, images[:1]), dict.fromkeys(MATERIALS, images[:1]))
    vae = build_vae()
    (tmp_path / "latents").mkdir()
    encode_scenes(vae, RenderedSet(images, masks, [SCENE] * 8, np.ones(8, bool)), bank, 0, tmp_path / "latents")
    text, unet = build_text_encoders(build_tokenizer(corpus()), 0), build_unet(9, 0)
    before = unet.conv_in.weight.detach().clone()
    loss = DenoisingLoss(unet, text, Samples(load_latents(tmp_path / "latents"), [SCENE] * 8), 2)
    settings = TrainingSettings("smoke", 2, steps=3, log_steps=1, state=tmp_path)
    modules = {"unet": unet, "first": text.first, "second": text.second}
    out = tmp_path / "pipeline"
    loop = TrainingLoop(
        settings,
        modules,
        loss,
        lambda: save_pipeline(StableDiffusionXLInpaintPipeline, out, vae, text, unet),
    )
    history = loop.run()
    assert len(history) == 3
    assert all(np.isfinite(row["loss"]) for row in history)
    assert not torch.equal(unet.conv_in.weight, before)

    pipeline = StableDiffusionXLInpaintPipeline.from_pretrained(out, torch_dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    edited = pipeline(
        "a photo of a red glider aircraft",
        image=Image.fromarray(images[0]),
        mask_image=Image.fromarray(masks[0]),
        height=128,
        width=128,
        strength=0.5,
        num_inference_steps=4,
        generator=torch.Generator().manual_seed(0),
    ).images[0]
    assert edited.size == (128, 128)
    assert len(pipeline.scheduler.timesteps) == 4
    _, loaded, trained = load_pipeline_parts(out)
    assert isinstance(trained, UNet2DConditionModel)
    states, pooled = loaded(loaded.token_ids(["a photo of a glider aircraft"]))
    assert predict(trained, torch.zeros(1, 9, 32, 32), torch.tensor([5]), states, pooled).shape == (1, 4, 32, 32)


def snr(alphas: torch.Tensor) -> torch.Tensor:
    return alphas / (1 - alphas)


@pytest.mark.parametrize("factor", [1.0, 4.0, 8.0])
def test_signal_to_noise_ratio_is_multiplied(factor: float) -> None:
    alphas = (1 - shifted_betas(factor)).cumprod(0)
    ratio = snr(alphas[:-1]) / snr(zero_terminal_alphas()[:-1])
    assert torch.allclose(ratio, torch.full_like(ratio, factor), rtol=1e-6)


def test_ends_in_pure_noise_and_only_there() -> None:
    betas = shifted_betas()
    assert betas[-1] == 1
    assert ((betas > 0) & (betas < 1))[:-1].all()
    assert torch.all(snr((1 - betas).cumprod(0))[:-1].diff() < 0)


def test_first_step_matches_sdxl() -> None:
    """The rescaling leaves the first step alone: alpha_0 = 1 - beta_0 = 1 - 0.00085."""
    assert zero_terminal_alphas()[0].item() == pytest.approx(1 - 0.00085)


def test_the_sampler_uses_the_training_alphas() -> None:
    alphas = (1 - shifted_betas()).cumprod(0)
    sampler = make_sampler()
    assert torch.allclose(sampler.alphas_cumprod[:-1].double(), alphas[:-1], rtol=1e-3, atol=1e-7)
    assert sampler.config.prediction_type == "v_prediction"
    sampler.set_timesteps(8)
    assert sampler.timesteps[0] == 999
    assert pytest.approx(snr(alphas)[499].item(), rel=1e-6) == SNR_FACTOR * snr(zero_terminal_alphas())[499].item()
