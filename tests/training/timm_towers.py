"""Tiny image towers of timm, of the classes that SigLIP 2, MobileCLIP2 and Perception Encoder are made of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import save_file
from tests.tiny_checkpoints import CLIP
from timm.models.eva import _create_eva
from timm.models.vision_transformer import _create_vision_transformer
from timm.models.vision_transformer_hybrid import ConvStem, _create_vision_transformer_hybrid

from varireal.base.seeding import forked_torch_rng

SMALL = {"img_size": 32, "patch_size": 16, "embed_dim": 32, "depth": 2, "num_heads": 2}


@timm.models.register_model
def tiny_siglip(pretrained: bool = False, **more: Any) -> torch.nn.Module:
    """vit_base_patch16_siglip_224, tiny."""
    return _create_vision_transformer("tiny_siglip", **{**SMALL, "class_token": False, "global_pool": "map", **more})


@timm.models.register_model
def tiny_mci(pretrained: bool = False, **more: Any) -> torch.nn.Module:
    """vit_base_mci_224 of MobileCLIP2-B, tiny: convolutions with batch normalisation before the blocks."""
    stem = ConvStem(
        channels=(8, 8, 32), stride=(4, 2, 2), kernel_size=(4, 2, 2), padding=0, act_layer=torch.nn.GELU
    )  # fmt: skip
    settings = {**SMALL, "patch_size": 1, "no_embed_class": True, **more}
    return _create_vision_transformer_hybrid("tiny_mci", backbone=stem, embed_args={"proj": False}, **settings)


@timm.models.register_model
def tiny_pe(pretrained: bool = False, **more: Any) -> torch.nn.Module:
    """vit_pe_core_base_patch16_224, tiny."""
    settings = {
        **SMALL, "global_pool": "map", "attn_type": "rope", "use_pre_transformer_norm": True, "use_rot_pos_emb": True,
        "ref_feat_shape": (2, 2), "rope_grid_offset": 1.0, "rope_grid_indexing": "xy", "attn_pool_num_heads": 2,
        "attn_pool_mlp_ratio": 4.0,
    }  # fmt: skip
    return _create_eva("tiny_pe", **{**settings, **more})


# what open_clip's configurations say of the three: pooling, projection, and the text tower
KINDS: dict[str, dict[str, Any]] = {
    "tiny_siglip": {
        "init_logit_bias": -10,
        "vision_cfg": {"timm_pool": "map", "timm_proj": "none"},
        "text_cfg": {"no_causal_mask": True, "proj_bias": True, "pool_type": "last"},
    },
    "tiny_mci": {"vision_cfg": {"timm_pool": "token", "timm_proj": None}, "text_cfg": {}},
    "tiny_pe": {"vision_cfg": {"timm_pool": "map", "timm_proj": None}, "text_cfg": {}},
}


def save_timm_clip(folder: Path, kind: str, image_size: int = 32, model: str | None = None) -> Path:
    """A folder in open_clip's format: a kind of CLIP with an image tower of timm, by default the kind's own."""
    import open_clip

    told = KINDS[kind]
    vision = {"image_size": image_size, "timm_model_name": model or kind, "timm_model_pretrained": False}
    config = {
        **told,
        "embed_dim": 96 if model else 32,
        "custom_text": True,
        "vision_cfg": {**vision, **told["vision_cfg"]},
        "text_cfg": {**CLIP["text_cfg"], **told["text_cfg"]},
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
    with forked_torch_rng("timm", kind):
        network = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
        for name, value in network.state_dict().items():  # some begin at zero or one, where nothing could go wrong
            if value.is_floating_point() and "logit" not in name and "running_var" not in name:
                value.add_(0.02 * torch.randn(value.shape))
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, folder / "model.safetensors")
    return folder
