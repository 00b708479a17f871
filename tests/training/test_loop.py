from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch.nn import functional

from varireal.clip import load_clip
from varireal.config import AugmentationConfig, LoraSettings, TrainConfig
from varireal.training.data import Augmentation, ImageSet
from varireal.training.loop import batch_loss, fine_tune, learning_rate, look_at, pools
from varireal.training.lora import adapter_bytes, add_lora, remove_lora

SENTENCES = ("a photo of a red thing", "a photo of a blue thing")
STILL = AugmentationConfig(crop_scale_min=1, flip=False)


def config(**changes) -> TrainConfig:
    values = {"lora": LoraSettings(r=4, lora_dropout=0.1), "batch_size": 8, "max_steps": 6, "eval_every": 2}
    return TrainConfig(**{**values, "learning_rate": 0.02, "augmentation": STILL, **changes})


def coloured(count: int, seed: int) -> ImageSet:
    """Red pictures of class 0 and blue ones of class 1, with noise."""
    labels = torch.arange(count) % 2
    pixels = torch.randint(0, 90, (count, 32, 32, 3), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    pixels[labels == 0, :, :, 0] += 160
    pixels[labels == 1, :, :, 2] += 160
    return ImageSet(pixels, labels)


@pytest.fixture
def clip(tiny_clip):
    return load_clip(f"local-dir:{tiny_clip}", None)


def trained(clip, settings: TrainConfig, seed=(0, 0), real=None, synthetic=None):
    model = add_lora(clip.model, settings.lora, *seed)
    sources = pools(real, synthetic, settings)
    outcome = fine_tune(clip, model, SENTENCES, sources, coloured(20, 9), settings, seed, lambda count: None)
    files = adapter_bytes(model)
    remove_lora(model)
    return outcome, files["adapter_model.safetensors"]


def test_the_rate_warms_up_linearly_and_falls_as_a_cosine_to_the_final_one():
    settings = config(max_steps=101, warmup_share=0.1, learning_rate=1.0, final_learning_rate=0.2)
    rates = [learning_rate(step, settings) for step in range(101)]
    assert rates[:10] == pytest.approx([0.1 * k for k in range(1, 11)])
    assert rates[10] == pytest.approx(1.0) and rates[100] == pytest.approx(0.2)
    assert rates[55] == pytest.approx(0.6)  # half way of the cosine
    assert all(later < earlier for earlier, later in itertools.pairwise(rates[10:]))


def test_without_warm_up_the_first_step_has_the_peak_rate():
    assert learning_rate(0, config(warmup_share=0.0)) == pytest.approx(0.02)
    assert learning_rate(0, config(max_steps=1, warmup_share=0.0)) == pytest.approx(0.02)


def test_one_origin_fills_the_batch_and_two_share_it():
    settings, images = config(batch_size=7, lambda_real=0.25), coloured(4, 0)
    assert [(pool.share, pool.weight) for pool in pools(images, None, settings)] == [(7, 1.0)]
    assert [(pool.share, pool.weight) for pool in pools(images, images, settings)] == [(3, 0.25), (4, 0.75)]
    with pytest.raises(ValueError, match="needs real or synthetic"):
        pools(None, None, settings)


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_the_loss_is_the_weighted_sum_of_the_two_mean_cross_entropies(clip, weight):
    settings = config(lambda_real=weight)
    real, synthetic = coloured(4, 1), coloured(6, 2)
    rows = [torch.tensor([0, 1, 2]), torch.tensor([5, 4])]
    tokens = clip.tokenize(SENTENCES)
    loss = batch_loss(clip, clip.model, tokens, pools(real, synthetic, settings), rows, lambda pixels: pixels.float())
    texts = clip.encode_texts(SENTENCES)
    parts = []
    for images, chosen in zip((real, synthetic), rows):
        logits = clip.logit_scale * clip.encode_images(images.pixels[chosen].numpy()) @ texts.T
        parts.append(functional.cross_entropy(logits, images.labels[chosen]))
    torch.testing.assert_close(loss, weight * parts[0] + (1 - weight) * parts[1])


def test_fine_tuning_learns_and_keeps_the_best_look(clip):
    model = add_lora(clip.model, LoraSettings(r=4), 0)
    val = coloured(20, 9)
    tokens = clip.tokenize(SENTENCES)
    before = look_at(clip, model.eval(), tokens, val)
    steps: list[int] = []
    best, looks = fine_tune(
        clip, model, SENTENCES, pools(coloured(16, 3), None, config()), val, config(), (0, 0), steps.append
    )
    assert [look.step for look in looks] == [2, 4, 6] and sum(steps) == 6
    chosen = max(looks, key=lambda look: (look.val_top1, -look.val_loss))
    assert best == chosen.step
    assert chosen.val_loss < before[0] and chosen.val_top1 >= before[1]
    assert look_at(clip, model, tokens, val) == pytest.approx((chosen.val_loss, chosen.val_top1))


def test_a_last_step_off_the_beat_is_looked_at_too(clip):
    (_, looks), _ = trained(clip, config(max_steps=5, eval_every=3), synthetic=coloured(8, 1))
    assert [look.step for look in looks] == [3, 5]


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(clip):
    images = {"real": coloured(8, 1), "synthetic": coloured(8, 2)}
    first = trained(clip, config(max_steps=2), (0, 1), **images)
    torch.rand(5)  # torch's own generator must not matter
    second = trained(clip, config(max_steps=2), (0, 1), **images)
    other = trained(clip, config(max_steps=2), (0, 2), **images)
    assert first == second
    assert first[1] != other[1]


def test_only_the_adapter_changes(clip):
    before = {name: value.clone() for name, value in clip.model.named_parameters() if "attn" not in name}
    trained(clip, config(max_steps=2), synthetic=coloured(8, 1))
    after = dict(clip.model.named_parameters())
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_train_loss_is_the_mean_since_the_last_look(clip):
    (_, looks), _ = trained(clip, config(learning_rate=1e-12, max_steps=2, eval_every=1), synthetic=coloured(8, 1))
    tokens = clip.tokenize(SENTENCES)
    loss = batch_loss(
        clip, clip.model, tokens, pools(None, coloured(8, 1), config()), [torch.arange(8)], Augmentation(STILL)
    )
    assert math.isclose(looks[0].train_loss, float(loss), rel_tol=0.2)
