"""Vision-language models of five architectures with random weights, as small as they can be, saved as folders.

Each comes with a byte-level tokenizer that knows "yes" and "no" in several spellings, the architecture's own image
processor, and a chat template of the form that its real checkpoints have.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

WIDTH = 32
WORDS = ("yes", "Yes", "Ġyes", "ĠYes", "no", "No", "Ġno", "ĠNo", "NO")
SPECIAL = ("<s>", "</s>", "<pad>", "<image>", "<video>", "<|im_start|>", "<|im_end|>", "<|vision_start|>",
           "<|vision_end|>", "<|image_pad|>", "<|video_pad|>", "<fake_token_around_image>", "<global-img>",
           "<end_of_utterance>", *(f"<row_{row}_col_{col}>" for row in range(1, 4) for col in range(1, 4)))  # fmt: skip
TEMPLATES = {
    "llava_next": (
        "{% for m in messages %}[INST] {% for c in m['content'] %}{% if c['type'] == 'image' %}<image>\n"
        "{% else %}{{ c['text'] }}{% endif %}{% endfor %} [/INST]{% endfor %}"
    ),
    "qwen2_5_vl": (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% for m in messages %}<|im_start|>"
        "{{ m['role'] }}\n{% for c in m['content'] %}{% if c['type'] == 'image' %}"
        "<|vision_start|><|image_pad|><|vision_end|>"
        "{% else %}{{ c['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    ),
    "smolvlm": (
        "<|im_start|>{% for m in messages %}{{ m['role'] | capitalize }}:{% for c in m['content'] %}"
        "{% if c['type'] == 'image' %}<image>{% else %}{{ c['text'] }}{% endif %}{% endfor %}<end_of_utterance>\n"
        "{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
    ),
}
TEMPLATES["idefics3"] = TEMPLATES["smolvlm"]
TEMPLATES["qwen3_vl"] = TEMPLATES["qwen2_5_vl"].partition("\n")[2]  # without words of a system
KINDS = ("llava_next", "qwen2_5_vl", "qwen3_vl", "smolvlm", "idefics3")


def tiny_tokenizer(words: tuple[str, ...] = WORDS, bos: str = "<s>") -> Any:
    """A byte-level BPE tokenizer: a token per byte and one for each of the words, spelled with Ġ for a space.

    It puts ``bos`` before every text, as those of Llama and Mistral do.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    pieces, merges = sorted(pre_tokenizers.ByteLevel.alphabet()), []
    for word in words:
        for end in range(2, len(word) + 1):
            if word[:end] not in pieces:
                pieces.append(word[:end])
                merges.append((word[: end - 1], word[end - 1]))
    tokenizer = Tokenizer(models.BPE(vocab={piece: number for number, piece in enumerate(pieces)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=bos, eos_token="</s>", pad_token="<pad>",
        model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip
    fast.add_special_tokens({"additional_special_tokens": [token for token in SPECIAL if token != bos]})
    start = [(bos, fast.convert_tokens_to_ids(bos))]
    fast.backend_tokenizer.post_processor = processors.TemplateProcessing(single=f"{bos} $A", special_tokens=start)
    return fast


def _llava_next(tokenizer: Any) -> tuple[Any, Any]:
    from transformers import (
        CLIPVisionConfig,
        LlavaNextConfig,
        LlavaNextForConditionalGeneration,
        LlavaNextImageProcessor,
        LlavaNextProcessor,
        MistralConfig,
    )

    side, pinpoints = 28, [[28, 56], [56, 28], [56, 56]]
    vision = CLIPVisionConfig(
        hidden_size=WIDTH, intermediate_size=2 * WIDTH, num_hidden_layers=2, num_attention_heads=2, image_size=side,
        patch_size=14, projection_dim=WIDTH,
    )  # fmt: skip
    text = MistralConfig(
        vocab_size=len(tokenizer), hidden_size=WIDTH, intermediate_size=2 * WIDTH, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=512,
    )  # fmt: skip
    config = LlavaNextConfig(
        vision_config=vision, text_config=text, image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_grid_pinpoints=pinpoints, vision_feature_layer=-2, vision_feature_select_strategy="default",
    )  # fmt: skip
    images = LlavaNextImageProcessor(
        size={"shortest_edge": side}, crop_size={"height": side, "width": side}, image_grid_pinpoints=pinpoints
    )
    processor = LlavaNextProcessor(
        image_processor=images, tokenizer=tokenizer, patch_size=14, vision_feature_select_strategy="default",
        num_additional_image_tokens=1, chat_template=TEMPLATES["llava_next"],
    )  # fmt: skip
    return LlavaNextForConditionalGeneration(config), processor


def _qwen2_5_vl(tokenizer: Any) -> tuple[Any, Any]:
    from transformers import (
        Qwen2_5_VLConfig,
        Qwen2_5_VLForConditionalGeneration,
        Qwen2_5_VLProcessor,
        Qwen2VLImageProcessor,
        Qwen2VLVideoProcessor,
    )

    number = tokenizer.convert_tokens_to_ids
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(tokenizer), "hidden_size": WIDTH, "intermediate_size": 2 * WIDTH, "num_hidden_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]},
        },
        vision_config={
            "depth": 2, "hidden_size": WIDTH, "intermediate_size": 2 * WIDTH, "num_heads": 2, "out_hidden_size": WIDTH,
            "patch_size": 14, "window_size": 56, "fullatt_block_indexes": [1],
        },
        image_token_id=number("<|image_pad|>"), video_token_id=number("<|video_pad|>"),
        vision_start_token_id=number("<|vision_start|>"), vision_end_token_id=number("<|vision_end|>"),
    )  # fmt: skip
    size = {"shortest_edge": 28 * 28, "longest_edge": 84 * 84}
    processor = Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(size=size), video_processor=Qwen2VLVideoProcessor(size=size),
        tokenizer=tokenizer, chat_template=TEMPLATES["qwen2_5_vl"],
    )  # fmt: skip
    return Qwen2_5_VLForConditionalGeneration(config), processor


def _qwen3_vl(tokenizer: Any) -> tuple[Any, Any]:
    from transformers import (
        Qwen2VLImageProcessor,
        Qwen3VLConfig,
        Qwen3VLForConditionalGeneration,
        Qwen3VLProcessor,
        Qwen3VLVideoProcessor,
    )

    number = tokenizer.convert_tokens_to_ids
    config = Qwen3VLConfig(
        text_config={
            "vocab_size": len(tokenizer), "hidden_size": WIDTH, "intermediate_size": 2 * WIDTH, "num_hidden_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 512,
            "rope_parameters": {
                "rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 1, 1], "mrope_interleaved": True,
            },
        },
        vision_config={
            "depth": 2, "hidden_size": WIDTH, "intermediate_size": 2 * WIDTH, "num_heads": 2, "out_hidden_size": WIDTH,
            "patch_size": 16, "num_position_embeddings": 16, "deepstack_visual_indexes": [0],
        },
        image_token_id=number("<|image_pad|>"), video_token_id=number("<|video_pad|>"),
        vision_start_token_id=number("<|vision_start|>"), vision_end_token_id=number("<|vision_end|>"),
    )  # fmt: skip
    size = {"shortest_edge": 32 * 32, "longest_edge": 96 * 96}
    processor = Qwen3VLProcessor(
        image_processor=Qwen2VLImageProcessor(size=size, patch_size=16, merge_size=2),
        video_processor=Qwen3VLVideoProcessor(size=size), tokenizer=tokenizer, chat_template=TEMPLATES["qwen3_vl"],
    )  # fmt: skip
    return Qwen3VLForConditionalGeneration(config), processor


def _idefics3_parts(tokenizer: Any, config_class: Any) -> Any:
    return config_class(
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"), scale_factor=2, pad_token_id=tokenizer.pad_token_id,
        text_config={
            "model_type": "llama", "vocab_size": len(tokenizer), "hidden_size": WIDTH, "intermediate_size": 2 * WIDTH,
            "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512,
            "pad_token_id": tokenizer.pad_token_id,
        },
        vision_config={
            "hidden_size": WIDTH, "intermediate_size": 2 * WIDTH, "num_hidden_layers": 2, "num_attention_heads": 2,
            "image_size": 32, "patch_size": 8,
        },
    )  # fmt: skip


IDEFICS3_IMAGES = {"size": {"longest_edge": 64}, "max_image_size": {"longest_edge": 32}}
IDEFICS3_TOKENS = 4  # of a tile: (32 / 8 / 2) squared


def _smolvlm(tokenizer: Any) -> tuple[Any, Any]:
    from transformers import (
        SmolVLMConfig,
        SmolVLMForConditionalGeneration,
        SmolVLMImageProcessor,
        SmolVLMProcessor,
        SmolVLMVideoProcessor,
    )

    processor = SmolVLMProcessor(
        image_processor=SmolVLMImageProcessor(**IDEFICS3_IMAGES), tokenizer=tokenizer,
        video_processor=SmolVLMVideoProcessor(size={"longest_edge": 32}), image_seq_len=IDEFICS3_TOKENS,
        chat_template=TEMPLATES["smolvlm"],
    )  # fmt: skip
    return SmolVLMForConditionalGeneration(_idefics3_parts(tokenizer, SmolVLMConfig)), processor


def _idefics3(tokenizer: Any) -> tuple[Any, Any]:
    from transformers import (
        Idefics3Config,
        Idefics3ForConditionalGeneration,
        Idefics3ImageProcessor,
        Idefics3Processor,
    )

    processor = Idefics3Processor(
        image_processor=Idefics3ImageProcessor(**IDEFICS3_IMAGES), tokenizer=tokenizer,
        image_seq_len=IDEFICS3_TOKENS, chat_template=TEMPLATES["idefics3"],
    )  # fmt: skip
    return Idefics3ForConditionalGeneration(_idefics3_parts(tokenizer, Idefics3Config)), processor


def save_tiny_vlm(kind: str, folder: Path, words: tuple[str, ...] = WORDS) -> Path:
    """Save a random model with its processor; its weights are large enough for answers to depend on the picture."""
    import torch

    build = {"llava_next": _llava_next, "qwen2_5_vl": _qwen2_5_vl, "qwen3_vl": _qwen3_vl, "smolvlm": _smolvlm,
             "idefics3": _idefics3}[kind]  # fmt: skip
    with torch.random.fork_rng():
        torch.random.manual_seed(0)
        model, processor = build(
            tiny_tokenizer(words, bos="<|im_start|>" if kind in ("smolvlm", "idefics3") else "<s>")
        )
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(4)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
