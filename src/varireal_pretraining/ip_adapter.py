"""The demo IP-Adapter-Plus: built into a UNet, and written in the layout that diffusers' ``load_ip_adapter`` reads."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.embeddings import IPAdapterPlusImageProjection
from safetensors.torch import save_file
from torch import Tensor, nn

from varireal.base.seeding import forked_torch_rng

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


def add_ip_adapter(unet: UNet2DConditionModel, image_width: int, seed: int) -> None:
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


def cross_attentions(unet: UNet2DConditionModel) -> list[str]:
    """Return the names of the layers that look at text and picture, in the order in which files number them."""
    names = [name.removesuffix(".processor") for name in unet.attn_processors]
    return [name for name in names if name.endswith("attn2")]


def adapter_weights(unet: UNet2DConditionModel) -> dict[str, Tensor]:
    """Return the weights of a UNet's IP-Adapter by the names of the published files."""
    (resampler,) = unet.encoder_hid_proj.image_projection_layers
    weights = {f"image_proj.{name}": value for name, value in _published(resampler).items()}
    own = unet.state_dict()
    for index, name in enumerate(cross_attentions(unet)):
        for kind in ("to_k_ip", "to_v_ip"):
            weights[f"ip_adapter.{2 * index + 1}.{kind}.weight"] = own[f"{name}.processor.{kind}.0.weight"]
    return weights


def plain_weights(unet: UNet2DConditionModel) -> dict[str, Tensor]:
    """Return the weights of a UNet without those of its IP-Adapter."""
    return {
        name: value
        for name, value in unet.state_dict().items()
        if ".processor." not in name and not name.startswith("encoder_hid_proj.")
    }


def set_picture_scale(unet: UNet2DConditionModel, scale: float) -> None:
    """Set how much the image prompt counts; at 0 the UNet is the plain one."""
    for name in cross_attentions(unet):
        unet.attn_processors[f"{name}.processor"].scale = [scale]


def save_adapter(unet: UNet2DConditionModel, path: Path) -> None:
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
