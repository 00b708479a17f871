from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load, save

from varireal.base.seeding import forked_torch_rng
from varireal.config import LoraSettings
from varireal.errors import UserError
from varireal.networks.clip import load_clip
from varireal.training.attention import split_attention
from varireal.training.lora import (
    BitDropout,
    adapter_bytes,
    add_lora,
    load_adapter,
    merged,
    remove_lora,
    trainable_parameters,
)


@pytest.fixture
def clip(tiny_clip):
    return load_clip(f"local-dir:{tiny_clip}", None)


def logits(clip, model) -> torch.Tensor:
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        texts = model.encode_text(clip.tokenize(["a photo of a glider", "a photo of a trijet"]), normalize=True)
        return clip.logit_scale * model.encode_image(images, normalize=True) @ texts.T


def disturb(model) -> None:
    generator = torch.Generator().manual_seed(1)
    for parameter in trainable_parameters(model):
        parameter.data = 0.2 * torch.randn(parameter.shape, generator=generator)


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def test_a_fresh_adapter_changes_no_logit(clip):
    split_attention(clip.model)
    before = logits(clip, clip.model)
    model = add_lora(clip.model, LoraSettings(), 0)
    assert torch.equal(logits(clip, model.eval()), before)


def test_vit_b_16_with_random_weights_keeps_its_logits_and_trains_983040_parameters_at_rank_16():
    """12 blocks of width 768 and 12 of 512, two projections each: 12 * 2 * 16 * (2 * 768 + 2 * 512)."""
    clip = load_clip("ViT-B-16", None)
    image = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    tokens = clip.tokenize(["a photo of a glider"])
    with torch.no_grad():
        before = clip.model.encode_image(image, normalize=True), clip.model.encode_text(tokens, normalize=True)
        model = add_lora(clip.model, LoraSettings(r=16), 0).eval()
        after = model.encode_image(image, normalize=True), model.encode_text(tokens, normalize=True)
    assert all((ours - own).abs().max() <= 1e-5 for ours, own in zip(after, before))
    assert sum(parameter.numel() for parameter in trainable_parameters(model)) == 983_040
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert {name.split(".attn.")[1].split(".")[0] for name in trained} == {"q_proj", "v_proj"}


def test_saved_and_loaded_adapters_give_the_same_logits(clip, tiny_clip, tmp_path):
    model = add_lora(clip.model, LoraSettings(r=4, lora_alpha=8), 0)
    disturb(model)
    trained = logits(clip, model.eval())
    folder = write(tmp_path, adapter_bytes(model))
    fresh = load_clip(f"local-dir:{tiny_clip}", None)
    split_attention(fresh.model)
    untouched = logits(fresh, fresh.model)
    assert torch.equal(logits(fresh, PeftModel.from_pretrained(fresh.model, folder).eval()), trained)
    assert (trained - untouched).abs().max() > 0.1


def test_removing_an_adapter_gives_the_model_back(clip, tmp_path):
    split_attention(clip.model)
    before = logits(clip, clip.model)
    model = add_lora(clip.model, LoraSettings(), 0)
    disturb(model)
    write(tmp_path, adapter_bytes(model))
    assert remove_lora(model) is clip.model
    assert torch.equal(logits(clip, clip.model), before)
    loaded = load_adapter(clip.model, tmp_path)
    assert not torch.equal(logits(clip, loaded), before) and not trainable_parameters(loaded)
    remove_lora(loaded)
    assert torch.equal(logits(clip, clip.model), before)


def test_the_seed_alone_decides_the_adapters_bytes(clip):
    def fresh(seed: int) -> dict[str, bytes]:
        torch.rand(seed + 1)  # moves torch's own generator, which must not matter
        model = add_lora(clip.model, LoraSettings(), "a cell", seed)
        files = adapter_bytes(model)
        remove_lora(model)
        return files

    assert fresh(0) == fresh(0)
    assert fresh(0)["adapter_model.safetensors"] != fresh(1)["adapter_model.safetensors"]


def test_a_missing_or_foreign_adapter_is_a_users_error(clip, tmp_path):
    with pytest.raises(UserError, match=r"adapter_model\.safetensors is missing; run its train stage"):
        load_adapter(clip.model, tmp_path)
    model = add_lora(clip.model, LoraSettings(r=4), 0)
    files = adapter_bytes(model)
    remove_lora(model)
    files["adapter_config.json"] = files["adapter_config.json"].replace(b'"r": 4', b'"r": 8')
    with pytest.raises(UserError, match=r"does not fit clip\.model"):
        load_adapter(clip.model, write(tmp_path, files))


@pytest.mark.parametrize(
    ("rename", "said"),
    [
        (lambda key: key.replace("base_model.model.", "base_model.model._orig_mod."), "take '_orig_mod.' out of the"),
        (lambda key: key.replace("base_model.model.", "base_model.model.module."), "take 'module.' out of the keys"),
        (lambda key: key.replace("base_model.model.", ""), "it belongs to another network, or is a part only"),
        (
            lambda key: key if "visual" in key else None,
            "0 of its 8 weights .* and 8 of 16 are missing",
        ),
        (lambda key: key if "visual" in key else key.replace("transformer", "text_model"), "8 of its 16 weights have"),
    ],
    ids=["compiled", "shared", "bare", "half", "half renamed"],
)
def test_an_adapter_whose_keys_do_not_fit_is_refused(clip, tmp_path, rename, said):
    model = add_lora(clip.model, LoraSettings(r=4), 0)
    files = adapter_bytes(model)
    remove_lora(model)
    tensors = {rename(key): value for key, value in load(files["adapter_model.safetensors"]).items()}
    files["adapter_model.safetensors"] = save({key: value for key, value in tensors.items() if key is not None})
    with pytest.raises(UserError, match=said) as caught:
        load_adapter(clip.model, write(tmp_path, files))
    assert str(tmp_path / "adapter_model.safetensors") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_merged_adapter_predicts_the_same_and_leaves_the_very_same_weights(clip):
    model = add_lora(clip.model, LoraSettings(r=4), 0).eval()
    disturb(model)
    before, weights = logits(clip, model), [value.clone() for value in model.state_dict().values()]
    with merged(model):
        inside = logits(clip, model)
        changed = sum(not torch.equal(*pair) for pair in zip(weights, model.state_dict().values()))
    blocks = len(clip.model.visual.transformer.resblocks) + len(clip.model.transformer.resblocks)
    assert changed == 2 * blocks  # the query and the value weights
    torch.testing.assert_close(inside, before, atol=1e-4, rtol=1e-5)
    assert torch.equal(logits(clip, model), before)
    assert all(torch.equal(*pair) for pair in zip(weights, model.state_dict().values()))


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_the_asked_share_is_dropped_and_the_mean_is_kept(rate):
    with forked_torch_rng("dropout"):
        dropped = BitDropout(rate)(torch.ones(300, 1001))
    values = dropped.unique()
    assert len(values) == 2 and values[0] == 0
    assert values[1].item() == pytest.approx(1 / (1 - rate), rel=1e-4)
    share = (dropped == 0).float().mean().item()
    assert share == pytest.approx(rate, abs=4 * (rate * (1 - rate) / dropped.numel()) ** 0.5)
    columns = (dropped == 0).float().mean(0)  # the four values of one random word are independent
    assert columns.std().item() == pytest.approx((rate * (1 - rate) / 300) ** 0.5, rel=0.15)


def test_the_seed_decides_and_each_call_draws_anew():
    layer = BitDropout(0.3)

    def draws() -> list[torch.Tensor]:
        with forked_torch_rng("dropout", 1):
            return [layer(torch.ones(7, 9)) for _ in range(2)]

    first, second = draws(), draws()
    assert all(torch.equal(*pair) for pair in zip(first, second)) and not torch.equal(*first)


def test_gradients_pass_where_values_do():
    values = torch.ones(50, 50, requires_grad=True)
    with forked_torch_rng("dropout"):
        BitDropout(0.4)(values).sum().backward()
        kept = BitDropout(0.4)
    assert values.grad is not None and set(values.grad.unique().tolist()) == {0.0, values.grad.max().item()}
    assert kept.eval()(values) is values


def test_nothing_or_everything_can_be_dropped_and_half_precision_stays():
    values = torch.ones(5, dtype=torch.bfloat16)
    assert torch.equal(BitDropout(0.0)(values), values)
    assert torch.equal(BitDropout(1.0)(values), torch.zeros_like(values))
    assert BitDropout(0.5)(values).dtype == torch.bfloat16


def test_the_adapter_drops_by_bits(tiny_clip):
    clip = load_clip(f"local-dir:{tiny_clip}", None)
    model = add_lora(clip.model, LoraSettings(r=4, lora_dropout=0.2), 0)
    kinds = [type(module) for module in model.modules() if isinstance(module, torch.nn.Dropout)]
    blocks = len(clip.model.visual.transformer.resblocks) + len(clip.model.transformer.resblocks)
    assert kinds == [BitDropout] * (2 * blocks)
