"""Print the table of families in docs/full_size.md: gigabytes of weights and of pictures on their way, counted.

python docs/families.py

The architectures are those of the published configurations, built without memory for weights. Nothing was measured.
"""

from __future__ import annotations

from typing import NamedTuple

import diffusers
import torch
import transformers

BYTES = 2  # of a number in half precision
TOKENS = (1024 // 16) ** 2  # of a square of 1024 pixels: patches of 2 x 2 latents, one for 8 x 8 pixels
TEXT = 512  # tokens of a sentence, padded

QWEN3_4B = {
    "hidden_size": 2560, "intermediate_size": 9728, "num_hidden_layers": 36, "num_attention_heads": 32,
    "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936, "tie_word_embeddings": True,
}  # fmt: skip
T5_XXL = {"vocab_size": 32128, "d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_layers": 24, "num_heads": 64,
          "feed_forward_proj": "gated-gelu"}  # fmt: skip
QWEN2_5_VL_7B = {
    "text_config": {
        "vocab_size": 152064, "hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28,
        "num_attention_heads": 28, "num_key_value_heads": 4,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
    },
    "vision_config": {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16,
                      "out_hidden_size": 3584},
}  # fmt: skip


class Counted(NamedTuple):
    """A family's numbers: of the transformer and of what reads sentences; its width, and tokens beside the picture."""

    transformer: float
    readers: float
    width: int
    tokens: int

    @property
    def activations(self) -> float:
        """Return gigabytes that a block holds at once for one picture, guided or not.

        That is the stream itself, its queries, keys and values, what attention gives, and the middle of a feed-forward
        part of four times the width: 1 + 3 + 1 + 4 numbers for each of the width, and 4 more where that part is gated.
        """
        return (TOKENS + self.tokens) * self.width * 13 * BYTES / 1e9


def gigabytes(*networks: torch.nn.Module) -> float:
    return sum(parameter.numel() for network in networks for parameter in network.parameters()) * BYTES / 1e9


def counted() -> dict[str, Counted]:
    """Return the figures of every family."""
    with torch.device("meta"):
        qwen3 = gigabytes(transformers.Qwen3Model(transformers.Qwen3Config(**QWEN3_4B)))
        t5 = transformers.T5EncoderModel(transformers.T5Config(**T5_XXL))
        clip = transformers.CLIPTextModel(transformers.CLIPTextConfig(
            hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12))  # fmt: skip
        seeing = transformers.Qwen2_5_VLForConditionalGeneration(transformers.Qwen2_5_VLConfig(**QWEN2_5_VL_7B))
        klein = diffusers.Flux2Transformer2DModel(
            num_layers=5, num_single_layers=20, num_attention_heads=24, joint_attention_dim=7680, guidance_embeds=False
        )
        return {
            "flux": Counted(gigabytes(diffusers.FluxTransformer2DModel(guidance_embeds=True)), gigabytes(t5, clip),
                            3072, TEXT),
            "flux2": Counted(gigabytes(klein), qwen3, 3072, TEXT + TOKENS),  # the photo's latents beside the picture's
            "qwen_image": Counted(gigabytes(diffusers.QwenImageTransformer2DModel()), gigabytes(seeing),
                                  3072, TEXT + TOKENS),
            "z_image": Counted(gigabytes(diffusers.ZImageTransformer2DModel()), qwen3, 3840, TEXT),
        }  # fmt: skip


def main() -> None:
    """Print the table."""
    print("| family | transformer | text encoders | a block's activations for one picture |\n| --- | --- | --- | --- |")
    for name, family in counted().items():
        print(f"| `{name}` | {family.transformer:.1f} | {family.readers:.1f} | {family.activations:.1f} |")


if __name__ == "__main__":
    main()
