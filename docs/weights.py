"""Print the tables of docs/full_size.md: what the networks' weights take in half precision, counted, not measured.

python docs/weights.py

The architectures are those of the published configurations, built without memory for their weights.
"""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker
from transformers import (
    CLIPConfig,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    MistralConfig,
)

XL = {
    "block_out_channels": (320, 640, 1280), "down_block_types": ("DownBlock2D", *("CrossAttnDownBlock2D",) * 2),
    "up_block_types": (*("CrossAttnUpBlock2D",) * 2, "UpBlock2D"), "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20), "cross_attention_dim": 2048, "use_linear_projection": True,
    "addition_embed_type": "text_time", "addition_time_embed_dim": 256, "projection_class_embeddings_input_dim": 2816,
}  # fmt: skip
SD15 = {"cross_attention_dim": 768, "attention_head_dim": 8}
VAE = {"block_out_channels": (128, 256, 512, 512), "down_block_types": ("DownEncoderBlock2D",) * 4,
       "up_block_types": ("UpDecoderBlock2D",) * 4, "layers_per_block": 2}  # fmt: skip
VIT_L_TEXT = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
BIG_G_TEXT = {"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 20,
              "projection_dim": 1280}  # fmt: skip
VIT_H = {"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 16,
         "patch_size": 14, "projection_dim": 1024}  # fmt: skip
VIT_L = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16,
         "patch_size": 14}  # fmt: skip
INPAINT = {
    "XL": ("UNet, XL", "text encoder, small", "text encoder, large", "autoencoder"),
    "1.5": ("UNet, 1.5", "text encoder, small", "autoencoder", "safety checker"),
}
FILTER = {"XL": "LLaVA-NeXT 7B"}  # of 1.5 it is a CLIP, ViT-B/16, which takes 0.3 GB


def gigabytes(network: torch.nn.Module) -> float:
    return sum(parameter.numel() for parameter in network.parameters()) * 2 / 1e9


def adapter_gigabytes(unet: UNet2DConditionModel) -> float:
    """Return what an IP-Adapter adds to the UNet: keys and values for every layer that reads sentences."""
    names = ("attn2.to_k.weight", "attn2.to_v.weight")
    return sum(weight.numel() for name, weight in unet.named_parameters() if name.endswith(names)) * 2 / 1e9


def counted() -> dict[str, float]:
    """Return gigabytes of every network."""
    sizes = {}
    with torch.device("meta"):
        for name, config in (("XL", XL), ("1.5", SD15)):
            unet = UNet2DConditionModel(**config)
            sizes[f"UNet, {name}"] = gigabytes(unet)
            sizes[f"ControlNet, {name}"] = gigabytes(ControlNetModel.from_unet(unet, load_weights_from_unet=False))
            sizes[f"IP-Adapter, {name}"] = adapter_gigabytes(unet)
        sizes["text encoder, small"] = gigabytes(CLIPTextModel(CLIPTextConfig(**VIT_L_TEXT)))
        sizes["text encoder, large"] = gigabytes(CLIPTextModelWithProjection(CLIPTextConfig(**BIG_G_TEXT)))
        sizes["image encoder"] = gigabytes(CLIPVisionModelWithProjection(CLIPVisionConfig(**VIT_H)))
        sizes["autoencoder"] = gigabytes(AutoencoderKL(**VAE))
        checker = CLIPConfig(vision_config=VIT_L, projection_dim=768)
        sizes["safety checker"] = gigabytes(StableDiffusionSafetyChecker(checker))
        llava = LlavaNextConfig(text_config=MistralConfig(vocab_size=32064))
        sizes["LLaVA-NeXT 7B"] = gigabytes(LlavaNextForConditionalGeneration(llava))
    return sizes


def main() -> None:
    """Print the tables."""
    sizes = counted()
    for name, size in sizes.items():
        print(f"| {name} | {size:.2f} |")
    for family in ("XL", "1.5"):
        inpaint = sum(sizes[name] for name in INPAINT[family])
        leading = ("image encoder", f"ControlNet, {family}", f"IP-Adapter, {family}")
        refine = inpaint + sum(sizes[name] for name in leading)
        judge = sizes[FILTER[family]] if family in FILTER else 0.3
        print(f"| {family} | {inpaint:.1f} | {refine:.1f} | {judge:.1f} | {inpaint + refine + judge:.1f} |")
        gone = sum(sizes[name] for name in INPAINT[family] if name.startswith("text encoder"))  # once all is embedded
        left = (inpaint - gone, refine - gone, judge, inpaint + refine + judge - 2 * gone)
        print(f"| {family}, text encoders gone | {' | '.join(f'{size:.1f}' for size in left)} |")


if __name__ == "__main__":
    main()
