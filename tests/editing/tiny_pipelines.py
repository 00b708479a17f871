"""Tiny networks of the Stable Diffusion families with random weights, saved as checkpoint folders.

Every function writes what diffusers' `from_pretrained` and `load_ip_adapter` read of the full-size networks.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.segmentation.tiny_checkpoints import clip_tokenizer, seeded

SIDE = 32  # pixels: the side of the pipelines' pictures
WIDTH = 32  # of the text and image encoders
IP_WEIGHTS = {"plus": "ip-adapter-plus.safetensors", "plain": "ip-adapter.safetensors"}


def text_width(xl: bool) -> int:
    return 2 * WIDTH if xl else WIDTH


def unet(xl: bool, in_channels: int = 4) -> Any:
    from diffusers import UNet2DConditionModel

    added = {"addition_embed_type": "text_time", "addition_time_embed_dim": 8,
             "projection_class_embeddings_input_dim": WIDTH + 6 * 8}  # fmt: skip
    return UNet2DConditionModel(
        sample_size=SIDE // 2, in_channels=in_channels, out_channels=4, layers_per_block=1,
        block_out_channels=(32, 64), down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), norm_num_groups=8, attention_head_dim=8,
        cross_attention_dim=text_width(xl), **(added if xl else {}),
    )  # fmt: skip


def vae() -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(32, 32), down_block_types=("DownEncoderBlock2D",) * 2, norm_num_groups=8,
        up_block_types=("UpDecoderBlock2D",) * 2, latent_channels=4, sample_size=SIDE,
    )  # fmt: skip


def parts(xl: bool, in_channels: int) -> dict[str, Any]:
    """The networks of a Stable Diffusion pipeline; XL's second text encoder too."""
    from diffusers import DPMSolverMultistepScheduler
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    tokenizer = clip_tokenizer()
    text = CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=WIDTH, intermediate_size=64, projection_dim=WIDTH, num_hidden_layers=2,
        num_attention_heads=2, bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    with seeded(0):
        found = {
            "unet": unet(xl, in_channels),
            "vae": vae(),
            "text_encoder": CLIPTextModel(text),
            "tokenizer": tokenizer,
            "scheduler": DPMSolverMultistepScheduler(),
        }
        if xl:
            found |= {"text_encoder_2": CLIPTextModelWithProjection(text), "tokenizer_2": tokenizer}
        else:
            found |= {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    return found


def save_pipeline(folder: Path, xl: bool, inpaint: bool = False, variant: str | None = None, **replaced: Any) -> Path:
    """A text-to-image or an inpainting pipeline; the weights' files may have a variant, the parts be replaced."""
    import diffusers

    name = f"StableDiffusion{'XL' if xl else ''}{'Inpaint' if inpaint else ''}Pipeline"
    found = {**parts(xl, in_channels=9 if inpaint else 4), **replaced}
    getattr(diffusers, name)(**found).save_pretrained(folder, variant=variant)
    return folder


def safety_parts() -> dict[str, Any]:
    """The safety checker that checkpoints of Stable Diffusion 1.5 come with; it refuses nothing."""
    import torch
    from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker
    from transformers import CLIPConfig, CLIPImageProcessor

    tower = {"hidden_size": WIDTH, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision = {**tower, "image_size": SIDE, "patch_size": 8}
    with seeded(5):
        checker = StableDiffusionSafetyChecker(CLIPConfig(text_config=tower, vision_config=vision, projection_dim=16))
    with torch.no_grad():
        for name, parameter in checker.named_parameters():
            if name.endswith("_weights"):
                parameter.fill_(1.0)  # a likeness from which a picture is refused, which none is above
    images = CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
    return {"safety_checker": checker, "feature_extractor": images, "requires_safety_checker": True}


LORA_LAYERS = ("to_q", "to_k", "to_v", "to_out.0", "proj_in", "ff.net.0.proj", "ff.net.2", "conv1", "time_emb_proj")


def save_lora(folder: Path, name: str, xl: bool, in_channels: int = 9) -> Path:
    """Low-rank weights of rank 2 for most layers of the UNet, under the names of LCM's published files (those of
    kohya's trainer)."""
    import torch
    from safetensors.torch import save_file

    state: dict[str, Any] = {}
    with seeded(6):
        for path, layer in unet(xl, in_channels).named_modules():
            if path.endswith(LORA_LAYERS):
                shape, key = layer.weight.shape, f"lora_unet_{path.replace('.', '_')}"
                state[f"{key}.lora_down.weight"] = torch.randn(2, *shape[1:]) * 0.3
                state[f"{key}.lora_up.weight"] = torch.randn(shape[0], 2, *(1 for _ in shape[2:])) * 0.3
                state[f"{key}.alpha"] = torch.tensor(1.0)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(state, folder / name)
    return folder


def save_controlnet(folder: Path, xl: bool, variant: str | None = None) -> Path:
    """A ControlNet for the base, whose last convolutions are not zero as in an untrained one."""
    import torch
    from diffusers import ControlNetModel

    with seeded(1):
        # one halving of the edges, as of the pictures by the autoencoder; the published networks halve thrice
        network = ControlNetModel.from_unet(unet(xl), conditioning_embedding_out_channels=(8, 16))
        for layer in (*network.controlnet_down_blocks, network.controlnet_mid_block):
            torch.nn.init.normal_(layer.weight, std=0.2)
        torch.nn.init.normal_(network.controlnet_cond_embedding.conv_out.weight, std=0.2)
    network.save_pretrained(folder, variant=variant)
    return folder


def save_image_encoder(folder: Path) -> Path:
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    config = CLIPVisionConfig(
        hidden_size=WIDTH, intermediate_size=64, projection_dim=16, num_hidden_layers=3, num_attention_heads=2,
        image_size=32, patch_size=8,
    )  # fmt: skip
    with seeded(2):
        CLIPVisionModelWithProjection(config).save_pretrained(folder)
    return folder


def save_ip_adapter(folder: Path, xl: bool, kind: str, file_name: str | None = None) -> Path:
    """The weights of an IP-Adapter, ``plus`` or ``plain``."""
    import torch
    from safetensors.torch import save_file

    width = text_width(xl)
    with seeded(3):
        heads = {"plus": _resampler(width), "plain": _projection(width)}
        state = {f"image_proj.{name}": tensor for name, tensor in heads[kind].items()}
        layers = [name for name in unet(xl).attn_processors if name.endswith("attn2.processor")]
        for index, name in enumerate(layers):
            channels = 64  # all cross-attention lies in blocks of this width
            for part in ("to_k_ip", "to_v_ip"):
                state[f"ip_adapter.{2 * index + 1}.{part}.weight"] = torch.randn(channels, width)
            assert "blocks" in name
    folder.mkdir(parents=True, exist_ok=True)
    save_file(state, folder / (file_name or IP_WEIGHTS[kind]))
    return folder


def _projection(width: int) -> dict[str, Any]:
    """A plain adapter's projection: four words of the image's one embedding."""
    import torch

    return {
        "proj.weight": torch.randn(4 * width, 16), "proj.bias": torch.randn(4 * width),
        "norm.weight": torch.ones(width), "norm.bias": torch.zeros(width),
    }  # fmt: skip


def _resampler(width: int) -> dict[str, Any]:
    """Plus's projection: four layers in which queries read the encoder's states, by one head of 64 channels."""
    import torch

    inner, head, queries = 24, 64, 5
    state = {
        "latents": torch.randn(1, queries, inner),
        "proj_in.weight": torch.randn(inner, WIDTH), "proj_in.bias": torch.randn(inner),
        "proj_out.weight": torch.randn(width, inner), "proj_out.bias": torch.randn(width),
        "norm_out.weight": torch.ones(width), "norm_out.bias": torch.zeros(width),
    }  # fmt: skip
    for layer in range(4):
        matrices = {"0.to_q": (head, inner), "0.to_kv": (2 * head, inner), "0.to_out": (inner, head),
                    "1.1": (4 * inner, inner), "1.3": (inner, 4 * inner)}  # fmt: skip
        state |= {f"layers.{layer}.{name}.weight": torch.randn(shape) * 0.3 for name, shape in matrices.items()}
        for name in ("0.norm1", "0.norm2", "1.0"):
            state[f"layers.{layer}.{name}.weight"] = torch.ones(inner)
            state[f"layers.{layer}.{name}.bias"] = torch.zeros(inner)
    return state


def save_refiner(folder: Path, xl: bool) -> dict[str, Any]:
    """All parts of `edit.refine` below a folder; returns that section of params.yaml, with an adapter of kind plus."""
    save_pipeline(folder / "base", xl)
    save_controlnet(folder / "controlnet", xl)
    for kind in IP_WEIGHTS:
        save_ip_adapter(folder / "adapter" / "models", xl, kind)
    save_image_encoder(folder / "adapter" / "models" / "image_encoder")
    with seeded(4):
        vae().save_pretrained(folder / "vae")
    adapter = {"checkpoint": str(folder / "adapter"), "subfolder": "models", "weight_name": IP_WEIGHTS["plus"]}
    return {
        "checkpoint": str(folder / "base"),
        "controlnet": {"checkpoint": str(folder / "controlnet")},
        "ip_adapter": adapter,
    }
