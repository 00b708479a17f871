"""Tiny networks of the real architectures with random weights, saved as checkpoint folders.

Every function writes what `from_pretrained` of the full-size network reads: configuration, safetensors, processor.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from string import printable
from typing import Any

SIDE = 64  # pixels that SAM 2, SAM 3 and CLIPSeg scale photos to


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def clip_tokenizer() -> Any:
    """CLIP's tokenizer without merges: a token per byte."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizer

    signs = sorted(ByteLevel.alphabet())
    words = [*signs, *(f"{sign}</w>" for sign in signs), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: index for index, word in enumerate(words)}
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=77, pad_token="<|endoftext|>")


def bert_tokenizer() -> Any:
    """BERT's tokenizer with single letters, and with the numbers of special tokens that Grounding DINO relies on."""
    from transformers import BertTokenizer

    numbers = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, "[MASK]": 103, ".": 1012, "?": 1029}
    letters = [sign for sign in printable.strip() if sign not in numbers and not sign.isupper()]
    numbers |= {word: 200 + k for k, word in enumerate([*letters, *(f"##{sign}" for sign in letters)])}
    taken = {number: word for word, number in numbers.items()}
    return BertTokenizer(vocab={taken.get(number, f"[unused{number}]"): number for number in range(1030)})


def save_grounding_dino(folder: Path, seed: int = 0) -> Path:
    """Grounding DINO on a Swin of width 8; photos get a shorter side of 96 pixels, 2 on the coarsest level."""
    from transformers import (
        BertConfig,
        GroundingDinoConfig,
        GroundingDinoForObjectDetection,
        GroundingDinoImageProcessor,
        GroundingDinoProcessor,
        SwinConfig,
    )

    swin = SwinConfig(
        image_size=64, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=4,
        out_features=["stage2", "stage3", "stage4"], out_indices=[2, 3, 4],
    )  # fmt: skip
    bert = BertConfig(
        vocab_size=1030, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=256,
    )  # fmt: skip
    config = GroundingDinoConfig(
        backbone_config=swin, text_config=bert, d_model=32, encoder_layers=1, decoder_layers=2, num_queries=12,
        encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=32, decoder_ffn_dim=32,
        max_text_len=256,
    )  # fmt: skip
    with seeded(seed):
        GroundingDinoForObjectDetection(config).save_pretrained(folder)
    images = GroundingDinoImageProcessor(size={"shortest_edge": 96, "longest_edge": 192})
    GroundingDinoProcessor(images, bert_tokenizer()).save_pretrained(folder)
    return folder


def sam2_parts() -> dict[str, Any]:
    """The configurations of SAM 2's parts."""
    from transformers import Sam2HieraDetConfig, Sam2MaskDecoderConfig, Sam2PromptEncoderConfig, Sam2VisionConfig

    hiera = Sam2HieraDetConfig(
        hidden_size=8, image_size=[SIDE, SIDE], blocks_per_stage=[1, 1, 2, 1], embed_dim_per_stage=[8, 16, 32, 64],
        num_attention_heads_per_stage=[1, 1, 2, 2], window_size_per_stage=[4, 4, 4, 4], global_attention_blocks=[3],
        window_positional_embedding_background_size=[4, 4],
    )  # fmt: skip
    vision = Sam2VisionConfig(
        backbone_config=hiera, backbone_channel_list=[64, 32, 16, 8], fpn_hidden_size=32,
        backbone_feature_sizes=[[16, 16], [8, 8], [4, 4]],
    )  # fmt: skip
    prompt = Sam2PromptEncoderConfig(hidden_size=32, image_size=SIDE, mask_input_channels=8)
    decoder = Sam2MaskDecoderConfig(hidden_size=32, mlp_dim=32, num_attention_heads=2, iou_head_hidden_dim=32)
    return {"vision_config": vision, "prompt_encoder_config": prompt, "mask_decoder_config": decoder}


def save_sam2(folder: Path, seed: int = 0, video: bool = False) -> Path:
    """SAM 2.1; as the checkpoints on the hub are (``video``), with the tracker's memory, or without it."""
    from transformers import (
        Sam2Config,
        Sam2ImageProcessor,
        Sam2Model,
        Sam2Processor,
        Sam2VideoConfig,
        Sam2VideoModel,
    )

    images = Sam2ImageProcessor(size={"height": SIDE, "width": SIDE}, mask_size={"height": 16, "width": 16})
    with seeded(seed):
        if video:
            config = Sam2VideoConfig(
                **sam2_parts(), image_size=SIDE, memory_attention_hidden_size=32, memory_attention_num_layers=1,
                memory_attention_feed_forward_hidden_size=32, memory_attention_rope_feat_sizes=[4, 4],
                memory_encoder_hidden_size=32, memory_encoder_output_channels=16, mask_downsampler_embed_dim=32,
                memory_fuser_embed_dim=32, memory_fuser_intermediate_dim=32, memory_fuser_num_layers=1,
            )  # fmt: skip
            Sam2VideoModel(config).save_pretrained(folder)
        else:
            Sam2Model(Sam2Config(**sam2_parts())).save_pretrained(folder)
    Sam2Processor(images).save_pretrained(folder)
    return folder


def save_sam3(folder: Path, seed: int = 0) -> Path:
    """SAM 3 without its tracker."""
    from transformers import CLIPTextConfig, Sam3Config, Sam3ImageProcessor, Sam3Model, Sam3Processor

    tokenizer = clip_tokenizer()
    part = {"hidden_size": 32, "num_attention_heads": 2}
    detr = {**part, "num_layers": 1, "intermediate_size": 32}
    config = Sam3Config(
        vision_config={
            "backbone_config": {
                "model_type": "sam3_vit_model", "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2,
                "num_attention_heads": 2, "image_size": SIDE, "patch_size": 8, "window_size": 4,
                "global_attn_indexes": [1], "pretrain_image_size": 32,
            },
            "fpn_hidden_size": 32, "backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]],
        },
        text_config=CLIPTextConfig(
            vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, projection_dim=16, num_hidden_layers=1,
            num_attention_heads=2, max_position_embeddings=32, bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
        ).to_dict(),
        geometry_encoder_config=detr, detr_encoder_config=detr, detr_decoder_config={**detr, "num_queries": 10},
        mask_decoder_config=part,
    )  # fmt: skip
    with seeded(seed):
        Sam3Model(config).save_pretrained(folder)
    images = Sam3ImageProcessor(size={"height": SIDE, "width": SIDE}, mask_size={"height": 32, "width": 32})
    Sam3Processor(images, tokenizer).save_pretrained(folder)
    return folder


def save_clipseg(folder: Path, seed: int = 0) -> Path:
    """CLIPSeg."""
    import torch
    from transformers import CLIPSegConfig, CLIPSegForImageSegmentation, CLIPSegProcessor, ViTImageProcessor

    tokenizer = clip_tokenizer()
    tower = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = CLIPSegConfig(
        text_config={
            **tower, "vocab_size": len(tokenizer), "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id,
        },
        vision_config={**tower, "image_size": SIDE, "patch_size": 8},
        projection_dim=16, extract_layers=[0, 1], reduce_dim=16, decoder_num_attention_heads=2,
        decoder_intermediate_size=32,
    )  # fmt: skip
    with seeded(seed):
        model = CLIPSegForImageSegmentation(config)
    with torch.no_grad():
        for parameter in model.decoder.transposed_convolution.parameters():
            parameter.mul_(0.1)  # so that probabilities lie between 0 and 1 rather than at them
    model.save_pretrained(folder)
    images = ViTImageProcessor(size={"height": SIDE, "width": SIDE})
    CLIPSegProcessor(images, tokenizer).save_pretrained(folder)
    return folder
