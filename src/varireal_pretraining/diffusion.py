"""The demo diffusion network: SDXL's UNet, text encoders and noise schedule, small; building, losses, saving."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DDPMScheduler, DPMSolverMultistepScheduler, UNet2DConditionModel
from diffusers.schedulers.scheduling_ddim import rescale_zero_terminal_snr
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from varireal.base.files import staged_folder
from varireal.base.seeding import forked_torch_rng
from varireal_pretraining.images import SIZE
from varireal_pretraining.latents import CELL
from varireal_pretraining.loop import LibraryModel

CHANNELS = (48, 64, 96, 128)
#: Levels with cross attention: 16 x 16, 8 x 8 and 4 x 4 cells.
ATTENTION = (False, True, True, True)
HEAD_WIDTH = 32
TEXT_WIDTH = 64
TEXT_LAYERS = 2
TIME_ID_WIDTH = 32
#: Noisy latents, mask, latents of the picture without the region: the inpainting UNet's input.
INPAINT_CHANNELS = 4 + 1 + 4
#: Share of the samples that are shown without their sentence.
CAPTION_DROP = 0.1
#: SDXL's betas are made for latents of 64 to 128 cells a side. A structure of the picture covers (64 / 32)^2 = 4 to
#: (128 / 32)^2 = 16 times fewer cells here, whose noise averages out that much less: the signal-to-noise ratio that
#: leaves it as visible is that much larger (Hoogeboom et al. 2023, "simple diffusion", arXiv 2301.11093, section 3.1).
SNR_FACTOR = 8.0


def zero_terminal_alphas(steps: int = 1000) -> Tensor:
    """Return the cumulative alphas of SDXL's scaled-linear betas, rescaled to zero SNR at the last step."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, steps, dtype=torch.float64) ** 2
    return (1 - rescale_zero_terminal_snr(betas)).cumprod(0)


def shifted_betas(factor: float = SNR_FACTOR) -> Tensor:
    """Return betas whose signal-to-noise ratio alpha / (1 - alpha) is ``factor`` times the rescaled SDXL schedule's."""
    alphas = zero_terminal_alphas()
    signal = factor * alphas
    shifted = signal / (signal + 1 - alphas)
    before = torch.cat([torch.ones(1, dtype=shifted.dtype), shifted[:-1]])
    return 1 - shifted / before


def make_sampler() -> DPMSolverMultistepScheduler:
    """Return the sampler that is saved with the pipelines; its cumulative alphas are those of the training."""
    return DPMSolverMultistepScheduler(
        trained_betas=shifted_betas().tolist(),
        prediction_type="v_prediction",
        algorithm_type="dpmsolver++",
        solver_order=2,
        timestep_spacing="trailing",
        rescale_betas_zero_snr=True,
    )


class NoiseSchedule:
    """Adds noise to clean latents for training; the target is v (Salimans & Ho 2022, arXiv 2202.00512)."""

    def __init__(self) -> None:
        self.scheduler: LibraryModel = DDPMScheduler(
            trained_betas=shifted_betas().tolist(), prediction_type="v_prediction"
        )

    def add_noise(self, clean: Tensor, noise: torch.Generator, power: float) -> tuple[Tensor, Tensor, Tensor]:
        """Return random time steps, the noisy latents (N, 4, H, W) and the v target.

        Args:
            power: time steps are drawn as 1000 u^power, u uniform: above 1, more of them at low noise.
        """
        count = len(self.scheduler.timesteps)
        t = (torch.rand(len(clean), generator=noise) ** power * count).long().clamp(max=count - 1)
        epsilon = torch.randn(clean.shape, generator=noise)
        return t, self.scheduler.add_noise(clean, epsilon, t), self.scheduler.get_velocity(clean, epsilon, t)


def region_error(guess: Tensor, target: Tensor, mask: Tensor, outside: float) -> Tensor:
    """Return the mean squared error, weighted 1 inside the mask (N, 1, H, W) and ``outside`` elsewhere, per sample."""
    weight = outside + (1 - outside) * mask
    error = ((guess - target) ** 2).mean(1, keepdim=True)
    return ((error * weight).sum((1, 2, 3)) / weight.sum((1, 2, 3))).mean()


def stack(arrays: list[np.ndarray]) -> Tensor:
    """Return float16 arrays as one float32 tensor."""
    return torch.from_numpy(np.stack(arrays)).float()


@dataclass(frozen=True)
class TextEncoders:
    """SDXL's pair of text encoders with the one tokenizer they share here."""

    first: CLIPTextModel
    second: CLIPTextModelWithProjection
    tokenizer: CLIPTokenizer

    def token_ids(self, sentences: Sequence[str]) -> Tensor:
        """Return token ids (N, length), padded and cut to the tokenizer's length."""
        encoded = self.tokenizer(
            list(sentences),
            padding="max_length",
            max_length=self.tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        )
        return encoded.input_ids

    def __call__(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Return what SDXL conditions on: the last but one states of both, side by side, and the pooled projection."""
        first = self.first(ids, output_hidden_states=True).hidden_states[-2]
        second = self.second(ids, output_hidden_states=True)
        return torch.cat([first, second.hidden_states[-2]], -1), second.text_embeds


def build_text_encoders(tokenizer: CLIPTokenizer, seed: int) -> TextEncoders:
    """Return untrained text encoders; the same seed gives the same weights."""
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=TEXT_WIDTH,
        intermediate_size=4 * TEXT_WIDTH,
        projection_dim=TEXT_WIDTH,
        num_hidden_layers=TEXT_LAYERS,
        num_attention_heads=2,
        max_position_embeddings=tokenizer.model_max_length,
        **{name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")},
    )
    with forked_torch_rng("pretraining", "text", seed):
        return TextEncoders(CLIPTextModel(config), CLIPTextModelWithProjection(config), tokenizer)


def build_unet(in_channels: int, seed: int) -> LibraryModel:
    """Return an untrained UNet whose output starts at zero (the mean of the v target)."""
    config = {
        "sample_size": SIZE // CELL,
        "in_channels": in_channels,
        "out_channels": 4,
        "block_out_channels": CHANNELS,
        "layers_per_block": 1,
        "down_block_types": ["CrossAttnDownBlock2D" if attends else "DownBlock2D" for attends in ATTENTION],
        "up_block_types": ["CrossAttnUpBlock2D" if attends else "UpBlock2D" for attends in reversed(ATTENTION)],
        "norm_num_groups": 8,
        "cross_attention_dim": 2 * TEXT_WIDTH,
        "attention_head_dim": [max(1, width // HEAD_WIDTH) for width in CHANNELS],
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": TIME_ID_WIDTH,
        "projection_class_embeddings_input_dim": TEXT_WIDTH + 6 * TIME_ID_WIDTH,
    }
    with forked_torch_rng("pretraining", "unet", seed):
        unet: LibraryModel = UNet2DConditionModel.from_config(config)
    nn.init.zeros_(unet.conv_out.weight)
    nn.init.zeros_(unet.conv_out.bias)
    return unet


def time_ids(count: int) -> Tensor:
    """Return SDXL's size conditioning for uncropped pictures: original size, crop corner, target size, (count, 6)."""
    return torch.tensor([[SIZE, SIZE, 0, 0, SIZE, SIZE]], dtype=torch.float32).expand(count, -1)


def predict(unet: LibraryModel, inputs: Tensor, t: Tensor, states: Tensor, pooled: Tensor) -> Tensor:
    """Return the UNet's v prediction, (N, 4, 32, 32)."""
    added = {"text_embeds": pooled, "time_ids": time_ids(len(inputs))}
    return unet(inputs, t, encoder_hidden_states=states, added_cond_kwargs=added).sample


def drop_captions(states: Tensor, pooled: Tensor, share: float, noise: torch.Generator) -> tuple[Tensor, Tensor]:
    """Zero the text of a random share of the samples: what SDXL's ``force_zeros_for_empty_prompt`` asks with."""
    keep = (torch.rand(len(states), generator=noise) >= share).float()
    return states * keep[:, None, None], pooled * keep[:, None]


def save_pipeline(
    kind: LibraryModel,
    out: Path,
    vae: LibraryModel,
    text: TextEncoders,
    unet: LibraryModel,
    write_more: Callable[[Path], None] | None = None,
) -> None:
    """Write a whole SDXL pipeline in float16, at once or not at all, through float16 copies of the parts.

    Args:
        kind: ``StableDiffusionXLInpaintPipeline`` or ``StableDiffusionXLPipeline``.
        write_more: writes what else belongs into the folder.
    """
    parts = (vae, text.first, text.second, unet)
    vae16, first, second, unet16 = (copy.deepcopy(part).eval().half() for part in parts)
    pipeline = kind(
        vae=vae16,
        text_encoder=first,
        text_encoder_2=second,
        tokenizer=text.tokenizer,
        tokenizer_2=text.tokenizer,
        unet=unet16,
        scheduler=make_sampler(),
        force_zeros_for_empty_prompt=True,
    )
    with staged_folder(out) as staging:
        pipeline.save_pretrained(staging, safe_serialization=True)
        if write_more is not None:
            write_more(staging)


def load_pipeline_parts(folder: Path) -> tuple[LibraryModel, TextEncoders, LibraryModel]:
    """Load the parts of a pipeline as float32."""
    text = TextEncoders(
        CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=torch.float32),
        CLIPTextModelWithProjection.from_pretrained(folder / "text_encoder_2", dtype=torch.float32),
        CLIPTokenizer.from_pretrained(folder / "tokenizer"),
    )
    vae = AutoencoderKL.from_pretrained(folder / "vae").float()
    return vae, text, UNet2DConditionModel.from_pretrained(folder / "unet").float()
