"""Tiny networks of the families with a rectified-flow transformer, with random weights, saved as checkpoint folders.

Every function writes what `from_pretrained` of diffusers' own class reads of the full-size checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tests.segmentation.tiny_checkpoints import clip_tokenizer, seeded

SIDE = 32  # pixels: the side of the pictures that tests draw
WIDTH = 32  # of the text encoders
CHAT = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL = ("<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")


def qwen_tokenizer() -> Any:
    """Qwen's tokenizer without merges: a token per byte, and its chat template in short."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import Qwen2Tokenizer

    words = [*sorted(ByteLevel.alphabet()), "<|endoftext|>"]
    tokenizer = Qwen2Tokenizer(vocab={word: index for index, word in enumerate(words)}, merges=[])
    tokenizer.add_special_tokens({"additional_special_tokens": list(SPECIAL)})
    tokenizer.chat_template = CHAT
    return tokenizer


def qwen3(tokenizer: Any, kind: str, layers: int) -> Any:
    """The text encoder of Z-Image and of FLUX.2 klein."""
    import transformers

    config = transformers.Qwen3Config(
        vocab_size=len(tokenizer), hidden_size=WIDTH, intermediate_size=WIDTH, num_hidden_layers=layers,
        num_attention_heads=2, num_key_value_heads=1, head_dim=16, max_position_embeddings=512,
    )  # fmt: skip
    return getattr(transformers, kind)(config)


def flow_scheduler(**settings: Any) -> Any:
    from diffusers import FlowMatchEulerDiscreteScheduler

    return FlowMatchEulerDiscreteScheduler(**settings)


def kl_autoencoder(channels: int) -> Any:
    """The autoencoder of FLUX.1, which Z-Image shares; one halving in place of three."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(16, 16), down_block_types=("DownEncoderBlock2D",) * 2, norm_num_groups=8,
        up_block_types=("UpDecoderBlock2D",) * 2, latent_channels=channels, sample_size=SIDE, scaling_factor=0.36,
        shift_factor=0.11, use_quant_conv=False, use_post_quant_conv=False, mid_block_add_attention=False,
    )  # fmt: skip


def _z_image() -> Any:
    from diffusers import ZImageInpaintPipeline, ZImageTransformer2DModel

    tokenizer = qwen_tokenizer()
    transformer = ZImageTransformer2DModel(
        in_channels=4, dim=WIDTH, n_layers=1, n_refiner_layers=1, n_heads=2, n_kv_heads=2, cap_feat_dim=WIDTH,
        axes_dims=[4, 6, 6], axes_lens=[1024, 64, 64],
    )  # fmt: skip
    return ZImageInpaintPipeline(
        scheduler=flow_scheduler(shift=3.0), vae=kl_autoencoder(4), text_encoder=qwen3(tokenizer, "Qwen3Model", 2),
        tokenizer=tokenizer, transformer=transformer,
    )  # fmt: skip


def _flux2(distilled: bool = False) -> Any:
    from diffusers import AutoencoderKLFlux2, Flux2KleinInpaintPipeline, Flux2Transformer2DModel

    tokenizer = qwen_tokenizer()
    autoencoder = AutoencoderKLFlux2(
        block_out_channels=(16, 16), down_block_types=("DownEncoderBlock2D",) * 2, norm_num_groups=8,
        up_block_types=("UpDecoderBlock2D",) * 2, latent_channels=4, sample_size=SIDE, layers_per_block=1,
        mid_block_add_attention=False,
    )  # fmt: skip
    transformer = Flux2Transformer2DModel(
        in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=3 * WIDTH, timestep_guidance_channels=16, axes_dims_rope=(4, 4, 4, 4),
        guidance_embeds=False,
    )  # fmt: skip
    return Flux2KleinInpaintPipeline(
        scheduler=flow_scheduler(use_dynamic_shifting=True), vae=autoencoder, transformer=transformer,
        text_encoder=qwen3(tokenizer, "Qwen3ForCausalLM", 27),  # of which the pipeline reads layers 9, 18 and 27
        tokenizer=tokenizer, is_distilled=distilled,
    )  # fmt: skip


def t5_tokenizer() -> Any:
    """T5's tokenizer with single letters."""
    from string import printable

    from transformers import T5Tokenizer

    pieces = ["<pad>", "</s>", "<unk>", "\u2581", *printable.strip()]
    return T5Tokenizer(vocab=[(piece, -float(number)) for number, piece in enumerate(pieces)], extra_ids=0)


def _flux(fill: bool = False) -> Any:
    from diffusers import FluxFillPipeline, FluxInpaintPipeline, FluxTransformer2DModel
    from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

    words, letters = clip_tokenizer(), t5_tokenizer()
    clip = CLIPTextConfig(
        vocab_size=len(words), hidden_size=WIDTH, intermediate_size=WIDTH, num_hidden_layers=1, num_attention_heads=2,
        bos_token_id=words.bos_token_id, eos_token_id=words.eos_token_id, pad_token_id=words.pad_token_id,
    )  # fmt: skip
    t5 = T5Config(vocab_size=len(letters), d_model=WIDTH, d_kv=16, d_ff=WIDTH, num_layers=1, num_heads=2)
    # the latents of a 2 x 2 patch; for Fill those of the masked picture and the patch's pixels of the mask, too
    transformer = FluxTransformer2DModel(
        in_channels=16 + 16 + 16 if fill else 16, out_channels=16, num_layers=1, num_single_layers=1,
        attention_head_dim=16, num_attention_heads=2, joint_attention_dim=WIDTH, pooled_projection_dim=WIDTH,
        guidance_embeds=True, axes_dims_rope=(4, 6, 6),
    )  # fmt: skip
    return (FluxFillPipeline if fill else FluxInpaintPipeline)(
        scheduler=flow_scheduler(use_dynamic_shifting=True), vae=kl_autoencoder(4), text_encoder=CLIPTextModel(clip),
        tokenizer=words, text_encoder_2=T5EncoderModel(t5), tokenizer_2=letters, transformer=transformer,
    )  # fmt: skip


def _qwen_image(kind: str = "QwenImageEditInpaintPipeline") -> Any:
    """Qwen-Image-Edit; by another class's name what that loads, as all of its versions have the same parts."""
    import diffusers
    from transformers import (
        Qwen2_5_VLConfig,
        Qwen2_5_VLForConditionalGeneration,
        Qwen2VLImageProcessor,
        Qwen2VLProcessor,
        Qwen2VLVideoProcessor,
    )

    tokenizer = qwen_tokenizer()
    number = tokenizer.convert_tokens_to_ids
    encoder = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(tokenizer), "hidden_size": WIDTH, "intermediate_size": WIDTH, "num_hidden_layers": 1,
            "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 2048,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]},
        },
        vision_config={
            "depth": 1, "hidden_size": WIDTH, "intermediate_size": WIDTH, "num_heads": 2, "out_hidden_size": WIDTH,
            "patch_size": 14, "window_size": 56, "fullatt_block_indexes": [0],
        },
        image_token_id=number("<|image_pad|>"), video_token_id=number("<|video_pad|>"),
        vision_start_token_id=number("<|vision_start|>"), vision_end_token_id=number("<|vision_end|>"),
    )  # fmt: skip
    size = {"shortest_edge": 28 * 28, "longest_edge": 56 * 56}
    processor = Qwen2VLProcessor(
        image_processor=Qwen2VLImageProcessor(size=size), video_processor=Qwen2VLVideoProcessor(size=size),
        tokenizer=tokenizer,
    )  # fmt: skip
    autoencoder = diffusers.AutoencoderKLQwenImage(
        base_dim=4, z_dim=4, dim_mult=[1, 2, 2], num_res_blocks=1, temperal_downsample=[False] * 2,
        latents_mean=[0.0] * 4, latents_std=[1.0] * 4,
    )  # fmt: skip
    transformer = diffusers.QwenImageTransformer2DModel(
        in_channels=16, out_channels=4, num_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=WIDTH, axes_dims_rope=(4, 6, 6),
    )  # fmt: skip
    return getattr(diffusers, kind)(
        scheduler=flow_scheduler(use_dynamic_shifting=True), vae=autoencoder, tokenizer=tokenizer,
        text_encoder=Qwen2_5_VLForConditionalGeneration(encoder), processor=processor, transformer=transformer,
    )  # fmt: skip


BUILDERS: dict[str, Callable[[], Any]] = {
    "flux": _flux,
    "flux_fill": partial(_flux, fill=True),
    "flux2": _flux2,
    "qwen_image": _qwen_image,
    "qwen_image_plus": partial(_qwen_image, "QwenImageEditPlusPipeline"),
    "z_image": _z_image,
}
FAMILY = {kind: kind.removesuffix("_fill").removesuffix("_plus") for kind in BUILDERS}
SIDES = dict.fromkeys(BUILDERS, SIDE) | {"qwen_image": 64}  # of the squares they draw
PAINTERS = sorted({*BUILDERS} - {"qwen_image_plus"})  # that know masks


def save_flow_pipeline(kind: str, folder: Path) -> Path:
    """Save a random pipeline; its transformer's weights are large enough for the sentence to show in the picture."""
    import torch

    with seeded(0):
        pipe = BUILDERS[kind]()
        with torch.no_grad():
            for name, parameter in pipe.transformer.named_parameters():
                if parameter.ndim > 1:
                    parameter.mul_(2)
                elif "pad_token" not in name and "norm" not in name:
                    parameter.normal_(std=0.1)
    pipe.save_pretrained(folder)
    return folder
