"""Calls of networks, counted by hand."""

from __future__ import annotations

import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from tests.editing.filters.tiny_vlms import save_tiny_vlm
from transformers import CLIPTextConfig, CLIPTextModel

from varireal.networks.calls import NetworkUse, add_uses, kind_of, recording


@pytest.fixture(scope="module")
def vae() -> AutoencoderKL:
    return AutoencoderKL(block_out_channels=(4,), norm_num_groups=2, layers_per_block=1)


@pytest.fixture(scope="module")
def tiny_judge(tmp_path_factory: pytest.TempPathFactory) -> torch.nn.Module:
    from transformers import AutoModelForImageTextToText

    return AutoModelForImageTextToText.from_pretrained(
        save_tiny_vlm("llava_next", tmp_path_factory.mktemp("judge") / "llava_next")
    )


def test_calls_and_rows_are_counted_by_kind(vae: AutoencoderKL) -> None:
    text = CLIPTextModel(CLIPTextConfig(vocab_size=9, hidden_size=8, intermediate_size=8, num_hidden_layers=1,
                                        num_attention_heads=2, max_position_embeddings=4))  # fmt: skip
    pictures = torch.zeros(3, 3, 8, 8)
    with torch.no_grad(), recording() as uses:
        for _ in range(2):
            vae.encode(pictures)
        vae.decode(torch.zeros(5, 4, 8, 8))
        text(torch.zeros(2, 4, dtype=torch.long))
    counted = {name: (use.calls, use.rows) for name, use in uses.items()}
    assert counted == {"VAE encoder": (2, 6), "VAE decoder": (1, 5), "text encoder": (1, 2)}
    assert uses["VAE encoder"].weights == 4 * sum(each.numel() for each in vae.encoder.parameters())
    assert all(use.seconds > 0 for use in uses.values())
    vae.encode(pictures)
    assert uses["VAE encoder"].calls == 2  # nothing is recorded after the block


def test_a_call_that_fails_ends_its_record(vae: AutoencoderKL) -> None:
    with torch.no_grad(), recording() as uses:
        with pytest.raises(RuntimeError):
            vae.decoder(torch.zeros(1, 7, 8, 8))  # four channels are what it reads
        vae.encode(torch.zeros(1, 3, 8, 8))
    assert uses["VAE encoder"].calls == 1


def test_parts_of_networks_and_other_modules_have_no_name() -> None:
    from transformers import LlavaNextForConditionalGeneration
    from transformers.models.clip.modeling_clip import CLIPEncoderLayer

    assert kind_of(LlavaNextForConditionalGeneration) == "judge"
    assert kind_of(CLIPEncoderLayer) is None and kind_of(torch.nn.Linear) is None


def test_a_judge_counts_what_it_reads_now_and_the_pictures_it_looks_at(tiny_judge) -> None:
    ids = torch.tensor([[0, 5, 6], [5, 6, 7]])
    mask = torch.tensor([[0, 1, 1], [1, 1, 1]])
    with torch.no_grad(), recording() as uses:
        known = tiny_judge(input_ids=ids, attention_mask=mask, use_cache=True).past_key_values
        whole = torch.cat([mask, torch.ones(2, 2, dtype=torch.long)], dim=1)
        tiny_judge(input_ids=ids[:, :2], attention_mask=whole, past_key_values=known)
        tiny_judge.model.vision_tower(torch.zeros(3, 3, 28, 28))  # by itself it is an image encoder
    assert (uses["judge"].calls, uses["judge"].tokens, uses["judge"].looks) == (2, 5 + 4, 0)
    pictures = {"pixel_values": torch.zeros(1, 3, 3, 28, 28), "image_sizes": torch.tensor([[28, 56]])}
    with torch.no_grad(), recording() as uses:
        tiny_judge.model.get_image_features(**pictures)
        with pytest.raises(ValueError, match="tokens"):  # no place for the picture in the text
            tiny_judge(input_ids=ids[:1], attention_mask=mask[1:], **pictures)
    assert uses["judge"].looks == 3


def test_sums_add_what_is_spent_and_keep_the_largest_memory() -> None:
    sums = {"UNet": NetworkUse(2, 8, 0, 1.0, weights=100, peak=7)}
    add_uses(sums, {"UNet": NetworkUse(1, 4, 0, 0.5, weights=100, peak=9), "judge": NetworkUse(1, 1, 30)})
    assert sums == {"UNet": NetworkUse(3, 12, 0, 1.5, weights=100, peak=9), "judge": NetworkUse(1, 1, 30)}
