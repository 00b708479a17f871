"""Tiny networks of the families with a rectified-flow transformer, with random weights, saved as checkpoint folders.

Every function writes what `from_pretrained` of diffusers' own class reads of the full-size checkpoint.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.segmentation.tiny_checkpoints import seeded

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


BUILDERS = {"z_image": _z_image}
FAMILY = {"z_image": "z_image"}  # by kind of checkpoint
SIDES = dict.fromkeys(BUILDERS, SIDE)  # of the squares they draw


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
