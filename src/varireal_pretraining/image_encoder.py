"""The demo CLIP's image tower as transformers' CLIPVisionModelWithProjection, which IP-Adapters look through.

Nothing is trained: the blocks of open_clip's and of transformers' vision transformers are the same, only their weights
have other names. Its preprocessing needs no file: diffusers makes pictures of the tower's size with OpenAI's mean and
deviation, which are the demo CLIP's.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from varireal.base.files import read_json

CLIP = Path("models/demo/clip")
_ENCODER = "vision_model."
#: transformers' name -> open_clip's, for what occurs once.
_ONCE = {
    "embeddings.class_embedding": "class_embedding",
    "embeddings.patch_embedding.weight": "conv1.weight",
    "embeddings.position_embedding.weight": "positional_embedding",
    "pre_layrnorm.weight": "ln_pre.weight",
    "pre_layrnorm.bias": "ln_pre.bias",
    "post_layernorm.weight": "ln_post.weight",
    "post_layernorm.bias": "ln_post.bias",
}
#: The same inside a block; queries, keys and values are one matrix in open_clip.
_IN_BLOCK = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}


def vision_config(clip_config: Mapping[str, object]) -> CLIPVisionConfig:
    """Return transformers' configuration of the image tower in an open_clip ``model_cfg``."""
    vision: Mapping[str, int] = clip_config["vision_cfg"]  # type: ignore[assignment]
    return CLIPVisionConfig(
        hidden_size=vision["width"],
        intermediate_size=4 * vision["width"],
        projection_dim=clip_config["embed_dim"],
        num_hidden_layers=vision["layers"],
        num_attention_heads=vision["width"] // vision["head_width"],
        image_size=vision["image_size"],
        patch_size=vision["patch_size"],
        hidden_act="gelu",
    )


def convert_weights(visual: Mapping[str, Tensor], layers: int) -> dict[str, Tensor]:
    """Return the weights of an open_clip vision transformer by the names that transformers gives them."""
    weights = {_ENCODER + new: visual[old] for new, old in _ONCE.items()}
    weights["visual_projection.weight"] = visual["proj"].T
    for layer in range(layers):
        new, old = f"{_ENCODER}encoder.layers.{layer}.", f"transformer.resblocks.{layer}."
        for kind in ("weight", "bias"):
            weights |= {f"{new}{to}.{kind}": visual[f"{old}{name}.{kind}"] for to, name in _IN_BLOCK.items()}
            parts = visual[f"{old}attn.in_proj_{kind}"].chunk(3)
            for name, part in zip(("q_proj", "k_proj", "v_proj"), parts, strict=True):
                weights[f"{new}self_attn.{name}.{kind}"] = part
    return {name: value.detach().clone().contiguous() for name, value in weights.items()}


def convert_image_tower(folder: Path) -> CLIPVisionModelWithProjection:
    """Return the image tower of an open_clip folder as float32, ready to use.

    Its hidden states are open_clip's. ``image_embeds`` are not: transformers projects the class token, the demo CLIP
    the mean of the patches. IP-Adapter-Plus looks at the hidden states alone.
    """
    from open_clip import create_model

    visual = create_model(f"local-dir:{folder}").eval().visual
    config = vision_config(read_json(folder / "open_clip_config.json")["model_cfg"])
    model = CLIPVisionModelWithProjection(config)
    model.load_state_dict(convert_weights(visual.state_dict(), config.num_hidden_layers))
    return model.eval()
