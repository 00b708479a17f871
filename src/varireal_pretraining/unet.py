"""The demo diffusion network: SDXL's UNet and its two text encoders, small; building, conditioning, assembling."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from varireal.base.files import staged_folder
from varireal.base.seeding import derive_seed
from varireal_pretraining.images import SIZE
from varireal_pretraining.latents import CELL
from varireal_pretraining.schedule import make_scheduler

CHANNELS = (48, 64, 96, 128)
#: Levels with cross attention: 16 x 16, 8 x 8 and 4 x 4 cells.
ATTENTION = (False, True, True, True)
HEAD_WIDTH = 32
TEXT_WIDTH = 64
TEXT_LAYERS = 2
TIME_ID_WIDTH = 32
#: Noisy latents, mask, latents of the picture without the region: the inpainting UNet's input.
INPAINT_CHANNELS = 4 + 1 + 4


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
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(derive_seed("pretraining", "text", seed))
        return TextEncoders(CLIPTextModel(config), CLIPTextModelWithProjection(config), tokenizer)


def build_unet(in_channels: int, seed: int) -> UNet2DConditionModel:
    """Return an untrained UNet whose output starts at zero (the mean of the v target)."""
    down = tuple("CrossAttnDownBlock2D" if attends else "DownBlock2D" for attends in ATTENTION)
    up = tuple("CrossAttnUpBlock2D" if attends else "UpBlock2D" for attends in reversed(ATTENTION))
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(derive_seed("pretraining", "unet", seed))
        unet = UNet2DConditionModel(
            sample_size=SIZE // CELL,
            in_channels=in_channels,
            out_channels=4,
            block_out_channels=CHANNELS,
            layers_per_block=1,
            down_block_types=down,
            up_block_types=up,
            norm_num_groups=8,
            cross_attention_dim=2 * TEXT_WIDTH,
            attention_head_dim=tuple(max(1, width // HEAD_WIDTH) for width in CHANNELS),
            use_linear_projection=True,
            addition_embed_type="text_time",
            addition_time_embed_dim=TIME_ID_WIDTH,
            projection_class_embeddings_input_dim=TEXT_WIDTH + 6 * TIME_ID_WIDTH,
        )
    nn.init.zeros_(unet.conv_out.weight)
    nn.init.zeros_(unet.conv_out.bias)
    return unet


def time_ids(count: int) -> Tensor:
    """Return SDXL's size conditioning for uncropped pictures: original size, crop corner, target size, (count, 6)."""
    return torch.tensor([[SIZE, SIZE, 0, 0, SIZE, SIZE]], dtype=torch.float32).expand(count, -1)


def predict(unet: UNet2DConditionModel, inputs: Tensor, t: Tensor, states: Tensor, pooled: Tensor) -> Tensor:
    """Return the UNet's v prediction, (N, 4, 32, 32)."""
    added = {"text_embeds": pooled, "time_ids": time_ids(len(inputs))}
    return unet(inputs, t, encoder_hidden_states=states, added_cond_kwargs=added).sample


def drop_captions(states: Tensor, pooled: Tensor, share: float, noise: torch.Generator) -> tuple[Tensor, Tensor]:
    """Zero the text of a random share of the samples: what SDXL's ``force_zeros_for_empty_prompt`` asks with."""
    keep = (torch.rand(len(states), generator=noise) >= share).float()
    return states * keep[:, None, None], pooled * keep[:, None]


def save_pipeline(
    kind: type,
    out: Path,
    vae: AutoencoderKL,
    text: TextEncoders,
    unet: UNet2DConditionModel,
    write_more: Callable[[Path], None] | None = None,
) -> None:
    """Write a whole SDXL pipeline in float16, at once or not at all, through float16 copies of the parts.

    Args:
        kind: ``StableDiffusionXLInpaintPipeline`` or ``StableDiffusionXLPipeline``.
        write_more: writes what else belongs into the folder.
    """
    import copy

    parts = (vae, text.first, text.second, unet)
    vae16, first, second, unet16 = (copy.deepcopy(part).eval().half() for part in parts)
    pipeline = kind(
        vae=vae16,
        text_encoder=first,
        text_encoder_2=second,
        tokenizer=text.tokenizer,
        tokenizer_2=text.tokenizer,
        unet=unet16,
        scheduler=make_scheduler(),
        force_zeros_for_empty_prompt=True,
    )
    with staged_folder(out) as staging:
        pipeline.save_pretrained(staging, safe_serialization=True)
        if write_more is not None:
            write_more(staging)
