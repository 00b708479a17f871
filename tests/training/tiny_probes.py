"""Tiny networks of transformers for pictures, with random weights, saved as checkpoints are."""

from __future__ import annotations

from pathlib import Path

from tests.segmentation.tiny_checkpoints import seeded

SIZE = {"height": 32, "width": 32}
SMALL = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32,
    "patch_size": 16,
}  # fmt: skip


def save_dinov3(folder: Path, seed: int = 0) -> Path:
    """DINOv3's transformer for pictures of 32 pixels."""
    from transformers import DINOv3ViTConfig, DINOv3ViTImageProcessor, DINOv3ViTModel

    with seeded(seed):
        DINOv3ViTModel(DINOv3ViTConfig(**SMALL, num_register_tokens=1)).save_pretrained(folder)
    DINOv3ViTImageProcessor(size=SIZE).save_pretrained(folder)
    return folder


def save_siglip(folder: Path, seed: int = 0) -> Path:
    """SigLIP 2 as the hub has it: two towers, of the class SiglipModel."""
    from transformers import SiglipConfig, SiglipImageProcessor, SiglipModel, SiglipTextConfig, SiglipVisionConfig

    text = SiglipTextConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        bos_token_id=1,
        eos_token_id=2,
    )
    with seeded(seed):
        SiglipModel(SiglipConfig(text_config=text, vision_config=SiglipVisionConfig(**SMALL))).save_pretrained(folder)
    SiglipImageProcessor(size=SIZE).save_pretrained(folder)
    return folder
