from __future__ import annotations

import itertools
import math

import pytest
import torch
from safetensors.torch import load

from varireal.config import AugmentationConfig, LoraSettings, TrainConfig
from varireal.errors import UserError
from varireal.networks.clip import load_clip
from varireal.training.data import LabelledImages
from varireal.training.loop import fine_tune, learning_rate, look_at, scores
from varireal.training.lora import adapter_bytes, add_lora, merged, remove_lora
from varireal.training.steps import pools
from varireal.training.towers import set_up_towers

SENTENCES = ("a photo of a red thing", "a photo of a blue thing")
STILL = AugmentationConfig(crop_scale_min=1, flip=False)


def config(**changes) -> TrainConfig:
    values = {"lora": LoraSettings(r=4, lora_dropout=0.1), "batch_size": 8, "max_steps": 6, "eval_every": 2}
    return TrainConfig(**{**values, "learning_rate": 0.02, "augmentation": STILL, **changes})


def coloured(count: int, seed: int) -> LabelledImages:
    """Red pictures of class 0 and blue ones of class 1, with noise."""
    labels = torch.arange(count) % 2
    pixels = torch.randint(0, 90, (count, 32, 32, 3), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    pixels[labels == 0, :, :, 0] += 160
    pixels[labels == 1, :, :, 2] += 160
    return LabelledImages(pixels, labels)


@pytest.fixture
def clip(tiny_clip):
    return load_clip(f"local-dir:{tiny_clip}", None)


def trained(clip, settings: TrainConfig, seed=(0, 0), real=None, synthetic=None, dtype=torch.float32):
    set_up_towers(clip.model, settings)
    model = add_lora(clip.model, settings.lora, *seed)
    sources = pools(real, synthetic, settings)
    state = fine_tune(
        clip, model, clip.tokenize(SENTENCES), sources, coloured(20, 9), settings, seed, lambda count: None, dtype=dtype
    )
    files = adapter_bytes(model)
    remove_lora(model)
    return (state.best.step, state.looks), files["adapter_model.safetensors"]


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


def test_fine_tuning_learns_and_keeps_the_best_look(clip):
    model = add_lora(clip.model, LoraSettings(r=4), 0)
    val = coloured(20, 9)
    tokens = clip.tokenize(SENTENCES)
    before = look_at(clip, model.eval(), tokens, val)
    steps: list[int] = []
    state = fine_tune(clip, model, tokens, pools(coloured(16, 3), None, config()), val, config(), (0, 0), steps.append)
    looks = state.looks
    assert [look.step for look in looks] == [2, 4, 6] and sum(steps) == 6
    chosen = max(looks, key=lambda look: (look.val_top1, -look.val_loss))
    assert state.best == chosen
    assert chosen.val_loss < before[0] and chosen.val_top1 >= before[1]
    assert look_at(clip, model, tokens, val) == pytest.approx((chosen.val_loss, chosen.val_top1))


def test_the_last_weights_are_kept_where_val_shall_not_choose(clip):
    """Labels of val are swapped, so that every step makes it worse and the first look would be the best one."""
    val = coloured(20, 9)
    swapped = LabelledImages(val.pixels, 1 - val.labels)
    model = add_lora(clip.model, LoraSettings(r=4), 0)
    tokens, settings = clip.tokenize(SENTENCES), config(select="last")
    state = fine_tune(
        clip, model, tokens, pools(coloured(16, 3), None, settings), swapped, settings, (0, 0), lambda _: None
    )
    assert max(state.looks, key=lambda look: (look.val_top1, -look.val_loss)).step < 6
    assert state.best == state.looks[-1] and state.best.step == 6
    assert look_at(clip, model, tokens, swapped) == pytest.approx((state.best.val_loss, state.best.val_top1))


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
    loss, _ = look_at(clip, clip.model, clip.tokenize(SENTENCES), coloured(8, 1))
    assert math.isclose(looks[0].train_loss, loss, rel_tol=0.2)


def test_a_diverged_training_says_so(clip):
    with pytest.raises(UserError, match=r"diverged: its loss is (nan|inf) in step \d+; lower train\.learning_rate"):
        trained(clip, config(learning_rate=1e30, warmup_share=0.0, max_steps=6), synthetic=coloured(8, 1))


def weights(files: bytes) -> torch.Tensor:
    tensors = load(files)
    return torch.cat([tensors[name].flatten() for name in sorted(tensors)])


@pytest.mark.parametrize("parts", [2, 3, 8])
def test_a_batch_in_parts_trains_the_same_adapter(clip, parts):
    whole = config(lora=LoraSettings(r=4, lora_dropout=0.0), lambda_real=0.3)
    images = {"real": coloured(8, 1), "synthetic": coloured(9, 2)}
    (_, looks), expected = trained(clip, whole, **images)
    (_, found_looks), found = trained(clip, whole.model_copy(update={"accumulation_steps": parts}), **images)
    assert [look.train_loss for look in found_looks] == pytest.approx([look.train_loss for look in looks], abs=1e-5)
    assert [look.val_loss for look in found_looks] == pytest.approx([look.val_loss for look in looks], abs=1e-4)
    torch.testing.assert_close(weights(found), weights(expected), atol=1e-4, rtol=0)


def test_with_gradient_checkpointing_the_very_same_adapter_is_trained(clip):
    images = {"real": coloured(8, 1), "synthetic": coloured(8, 2)}
    plain = trained(clip, config(), **images)
    assert trained(clip, config(gradient_checkpointing=True), **images) == plain
    assert trained(clip, config(), **images) == plain  # it is switched off again


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_trains_float32_weights_that_do_as_well(clip, dtype):
    images = {"real": coloured(16, 1), "synthetic": coloured(16, 2)}
    (_, looks), expected = trained(clip, config(max_steps=12), **images)
    (_, half_looks), found = trained(clip, config(max_steps=12), **images, dtype=dtype)
    assert {tensor.dtype for tensor in load(found).values()} == {torch.float32}
    assert all(parameter.dtype == torch.float32 for parameter in clip.model.parameters())
    assert found != expected
    assert half_looks[-1].val_loss == pytest.approx(looks[-1].val_loss, abs=0.1)
    assert half_looks[-1].val_top1 == looks[-1].val_top1 == 100.0


@pytest.mark.parametrize(("dtype", "merges"), [(torch.float32, 1), (torch.bfloat16, 0)])
def test_only_float32_predicts_with_merged_weights(clip, monkeypatch, dtype, merges):
    calls = []
    monkeypatch.setattr("varireal.training.loop.merged", lambda model: calls.append(model) or merged(model))
    model = add_lora(clip.model, LoraSettings(r=4), 0).eval()
    before = scores(clip, model, clip.tokenize(SENTENCES), coloured(4, 3), 3, dtype)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data += 0.05
    after = scores(clip, model, clip.tokenize(SENTENCES), coloured(4, 3), 3, dtype)
    assert after.dtype == torch.float32 and after.shape == (4, 2) and not torch.equal(after, before)
    assert len(calls) == 2 * merges
