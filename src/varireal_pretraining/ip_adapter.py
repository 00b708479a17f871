"""The demo IP-Adapter-Plus: built into a UNet, written as diffusers' ``load_ip_adapter`` reads it, and what it sees by.

Its image encoder is the demo CLIP's image tower as transformers' CLIPVisionModelWithProjection. Nothing of that is
trained: the blocks are the same as open_clip's, only their weights have other names. Its preprocessing needs no file:
diffusers makes pictures of the tower's size with OpenAI's mean and deviation, which are the demo CLIP's.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers.models.embeddings import IPAdapterPlusImageProjection
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from varireal.base.files import read_json
from varireal.base.seeding import forked_torch_rng
from varireal_pretraining.loop import LibraryModel

CLIP = Path("models/demo/clip")
WEIGHTS = "ip-adapter-plus.safetensors"
#: diffusers reads widths off the weights and takes the rest for granted: four layers, heads of 64 channels.
LAYERS, HEAD_WIDTH = 4, 64
#: Words that the picture becomes.
TOKENS = 16
#: diffusers' name inside a layer of the resampler -> the published one; keys and values are one matrix there.
_RESAMPLER = {
    "ln0": "0.norm1",
    "ln1": "0.norm2",
    "attn.to_q": "0.to_q",
    "attn.to_out.0": "0.to_out",
    "ff.0": "1.0",
    "ff.1.net.0.proj": "1.1",
    "ff.1.net.2": "1.3",
}


def add_ip_adapter(unet: LibraryModel, image_width: int, seed: int) -> None:
    """Give a UNet an untrained IP-Adapter-Plus that changes nothing yet.

    Keys start as copies of the text's, as the original does; values start at zero, so that the first step is the
    plain UNet's.

    Args:
        image_width: channels of the image encoder's states.
    """
    width = unet.config.cross_attention_dim
    with forked_torch_rng("pretraining", "ip-adapter", seed):
        resampler = IPAdapterPlusImageProjection(
            image_width, width, HEAD_WIDTH, depth=LAYERS, dim_head=HEAD_WIDTH, heads=1, num_queries=TOKENS
        )
    own = unet.state_dict()
    attention = {}
    for index, name in enumerate(cross_attentions(unet)):
        keys = own[f"{name}.to_k.weight"]
        attention[f"{2 * index + 1}.to_k_ip.weight"] = keys.clone()
        attention[f"{2 * index + 1}.to_v_ip.weight"] = torch.zeros_like(keys)
    state = {"image_proj": _published(resampler), "ip_adapter": attention}
    unet._load_ip_adapter_weights([state], low_cpu_mem_usage=False)


def cross_attentions(unet: LibraryModel) -> list[str]:
    """Return the names of the layers that look at text and picture, in the order in which files number them."""
    names = [name.removesuffix(".processor") for name in unet.attn_processors]
    return [name for name in names if name.endswith("attn2")]


def adapter_weights(unet: LibraryModel) -> dict[str, Tensor]:
    """Return the weights of a UNet's IP-Adapter by the names of the published files."""
    (resampler,) = unet.encoder_hid_proj.image_projection_layers
    weights = {f"image_proj.{name}": value for name, value in _published(resampler).items()}
    own = unet.state_dict()
    for index, name in enumerate(cross_attentions(unet)):
        for kind in ("to_k_ip", "to_v_ip"):
            weights[f"ip_adapter.{2 * index + 1}.{kind}.weight"] = own[f"{name}.processor.{kind}.0.weight"]
    return weights


def plain_weights(unet: LibraryModel) -> dict[str, Tensor]:
    """Return the weights of a UNet without those of its IP-Adapter."""
    return {
        name: value
        for name, value in unet.state_dict().items()
        if ".processor." not in name and not name.startswith("encoder_hid_proj.")
    }


def set_picture_scale(unet: LibraryModel, scale: float) -> None:
    """Set how much the image prompt counts; at 0 the UNet is the plain one."""
    for name in cross_attentions(unet):
        unet.attn_processors[f"{name}.processor"].scale = [scale]


def save_adapter(unet: LibraryModel, path: Path) -> None:
    """Write the weights of a UNet's IP-Adapter as float16."""
    weights = {name: value.detach().half().contiguous() for name, value in adapter_weights(unet).items()}
    save_file(weights, path, {"format": "pt"})


def _published(resampler: nn.Module) -> dict[str, Tensor]:
    own, weights = resampler.state_dict(), {}
    for name, value in own.items():
        if not name.startswith("layers."):
            weights[name] = value
            continue
        layer, inner, kind = name.split(".")[1], name.split(".", 2)[2].rpartition(".")[0], name.rpartition(".")[2]
        if inner == "attn.to_v":
            continue
        if inner == "attn.to_k":
            values = own[name.replace("to_k", "to_v")]
            weights[f"layers.{layer}.0.to_kv.{kind}"] = torch.cat([value, values])
        else:
            weights[f"layers.{layer}.{_RESAMPLER[inner]}.{kind}"] = value
    return weights


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


def vision_config(clip_config: Mapping[str, Any]) -> CLIPVisionConfig:
    """Return transformers' configuration of the image tower in an open_clip ``model_cfg``."""
    vision = clip_config["vision_cfg"]
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

    clip: LibraryModel = create_model(f"local-dir:{folder}")
    config = vision_config(read_json(folder / "open_clip_config.json")["model_cfg"])
    model = CLIPVisionModelWithProjection(config)
    model.load_state_dict(convert_weights(clip.visual.state_dict(), config.num_hidden_layers))
    return model.eval()
