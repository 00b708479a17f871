"""A backbone of transformers under a linear layer: loading, its adapter, and what is refused."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load, save_file
from tests.training.tiny_probes import SIZE, save_dinov3, save_siglip
from torch.nn import functional

from varireal.config import ClipConfig, LoraSettings
from varireal.errors import UserError
from varireal.training.classifiers import check_classifier, classifier_identity, load_classifier
from varireal.training.lora import adapter_bytes, add_lora, learning, load_adapter, remove_lora, trainable_parameters
from varireal.training.towers import unpadded

SENTENCES = ("a photo of a glider", "a photo of a trijet", "a photo of a biplane")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("probes")
    return {"dinov3": save_dinov3(root / "dinov3"), "siglip": save_siglip(root / "siglip")}


def config(folder, **more) -> ClipConfig:
    return ClipConfig(kind="probe", model=str(folder), pretrained=None, **more)


@pytest.fixture(params=["dinov3", "siglip"])
def probe(request, folders):
    return load_classifier(config(folders[request.param]), len(SENTENCES))


@pytest.fixture
def dinov3(folders):
    return load_classifier(config(folders["dinov3"]), len(SENTENCES))


def pictures() -> torch.Tensor:
    return torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def logits(probe, model) -> torch.Tensor:
    with unpadded(probe, SENTENCES) as tokens, torch.no_grad():
        return probe.logits(probe.image_vectors(model, pictures()).float(), probe.class_vectors(model, tokens))


def test_of_two_towers_the_one_for_pictures_is_taken_and_its_features_are_standardised(folders):
    from transformers import SiglipModel

    probe = load_classifier(config(folders["siglip"]), 3)
    whole = SiglipModel.from_pretrained(folders["siglip"]).eval()
    with torch.no_grad():
        own = whole.vision_model(pixel_values=pictures()).pooler_output
        found = probe.image_vectors(probe.model, pictures())
    expected = (own - own.mean(1, keepdim=True)) / own.var(1, keepdim=True, correction=0).add(1e-5).sqrt()
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert not any("text" in name for name, _ in probe.model.named_parameters())


def test_scores_are_those_of_the_linear_layer(dinov3):
    layer = dinov3.model.class_head
    layer.bias.data = torch.tensor([0.5, 0.0, -0.5])
    with torch.no_grad():
        expected = layer(dinov3.image_vectors(dinov3.model, pictures()))
    torch.testing.assert_close(logits(dinov3, dinov3.model), expected, atol=1e-5, rtol=1e-5)


def test_a_picture_is_scaled_and_normalised_as_its_processor_does(folders):
    from transformers import AutoImageProcessor

    probe = load_classifier(config(folders["siglip"]), 3)
    image = np.random.default_rng(0).integers(0, 256, (48, 80, 3), dtype=np.uint8)
    own = AutoImageProcessor.from_pretrained(folders["siglip"])(image, return_tensors="pt")["pixel_values"]
    found = probe.normalise(torch.from_numpy(probe.resize(image)[None]))
    assert probe.image_size == 32 and (found - own).abs().mean() < 0.02  # of values in [-1, 1]; libraries round apart


def test_a_fresh_adapter_leaves_the_features_and_the_seed_draws_the_layer(probe):
    plain = probe.image_vectors(probe.model, pictures())

    def fresh(seed: int) -> dict[str, torch.Tensor]:
        model = add_lora(probe.model, LoraSettings(r=4), 0, seed)
        assert torch.equal(probe.image_vectors(model.eval(), pictures()), plain)  # B = 0
        weights = load(adapter_bytes(model)["adapter_model.safetensors"])
        remove_lora(model)
        return weights

    first, again, other = fresh(0), fresh(0), fresh(1)
    names = {name for name in first if "class_head" in name}
    assert len(names) == 2 and len(first) == 2 + 8  # A and B of queries and values in two blocks
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(*(each["base_model.model.class_head.weight"] for each in (first, other)))


def test_adapters_are_saved_loaded_and_merged_with_their_layer(probe, tmp_path):
    model = add_lora(probe.model, LoraSettings(r=4), 0)
    draw = torch.Generator().manual_seed(1)
    for parameter in trainable_parameters(model):
        parameter.data = 0.2 * torch.randn(parameter.shape, generator=draw)
    trained = logits(probe, model.eval())
    for name, data in adapter_bytes(model).items():
        (tmp_path / name).write_bytes(data)
    remove_lora(model)
    loaded = load_adapter(probe.model, tmp_path)
    assert torch.equal(logits(probe, loaded), trained) and not trainable_parameters(loaded)
    torch.testing.assert_close(logits(probe, loaded.merge_and_unload()), trained, atol=1e-4, rtol=1e-4)


def test_frozen_the_linear_layer_alone_learns(folders, tmp_path):
    probe = load_classifier(config(folders["dinov3"], frozen=True), len(SENTENCES))
    model = add_lora(probe.model, LoraSettings(r=4), 0)
    assert [tuple(parameter.shape) for parameter in trainable_parameters(model)] == [(3, 32), (3,)]
    learning(model)
    labels = torch.tensor([0, 1, 2, 0])
    optimizer = torch.optim.AdamW(trainable_parameters(model), lr=0.1)
    losses = []
    for _ in range(20):
        vectors = probe.class_vectors(model, probe.tokenize(SENTENCES))
        loss = functional.cross_entropy(probe.logits(probe.image_vectors(model, pictures()), vectors), labels)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[0] == pytest.approx(np.log(3), abs=0.2) and losses[-1] < 0.3
    for name, data in adapter_bytes(model).items():
        (tmp_path / name).write_bytes(data)
    trained = logits(probe, model.eval())
    remove_lora(model)
    assert torch.equal(logits(probe, load_adapter(probe.model, tmp_path)), trained)


def test_keys_name_the_weights_and_whether_they_are_frozen(folders):
    keys = {classifier_identity(config(folders[name], frozen=frozen)) for name in folders for frozen in (False, True)}
    assert len(keys) == 4 and all(key.startswith("probe:") for key in keys)


def test_what_is_no_probe_is_refused_in_one_line(folders, tmp_path):
    with pytest.raises(UserError, match=r"clip\.model = 'nowhere': this folder does not exist"):
        check_classifier(config("nowhere"))
    damaged = shutil.copytree(folders["dinov3"], tmp_path / "damaged")
    weights = load((damaged / "model.safetensors").read_bytes())
    name = next(key for key in weights if "q_proj.weight" in key)
    save_file(
        {key: value for key, value in weights.items() if key != name}, damaged / "model.safetensors", {"format": "pt"}
    )
    with pytest.raises(UserError, match=r"lacks 1 weights of DINOv3ViTModel, such as .*q_proj\.weight"):
        load_classifier(config(damaged), 3)
    oblong = shutil.copytree(folders["dinov3"], tmp_path / "oblong")
    told = json.loads((oblong / "preprocessor_config.json").read_text())
    (oblong / "preprocessor_config.json").write_text(json.dumps({**told, "size": {"height": 32, "width": 48}}))
    with pytest.raises(UserError, match="only square inputs are supported"):
        load_classifier(config(oblong), 3)


def test_a_network_without_queries_and_values_is_refused_unless_it_is_frozen(tmp_path):
    from transformers import BitImageProcessor, ConvNextConfig, ConvNextModel

    ConvNextModel(ConvNextConfig(hidden_sizes=[8, 8, 8, 8], depths=[1, 1, 1, 1])).save_pretrained(tmp_path)
    BitImageProcessor(size={"shortest_edge": 36}, crop_size=SIZE).save_pretrained(tmp_path)
    with pytest.raises(UserError, match="ConvNextModel has no layers for queries and values that LoRA knows; set clip"):
        load_classifier(config(tmp_path), 2)
    probe = load_classifier(config(tmp_path, frozen=True), 2)
    image = np.zeros((36, 72, 3), np.uint8)
    image[2:34, 20:52] = 200  # what scaling the shorter side to 36 and cutting the middle out leaves
    assert probe.resize(image).shape == (32, 32, 3) and (probe.resize(image) == 200).all()


def test_settings_of_one_kind_are_refused_for_the_other():
    with pytest.raises(ValueError, match="pretrained = 'openai' is open_clip's; set it to null for a probe"):
        ClipConfig(kind="probe", model="owner/name")
    with pytest.raises(ValueError, match="revision and frozen belong to kind: probe"):
        ClipConfig(frozen=True)


def test_settings_from_before_there_were_probes_are_written_as_they_were():
    assert list(ClipConfig().model_dump(mode="json")) == ["model", "pretrained", "sentence"]
    assert config("a/b", revision="c").model_dump(mode="json")["kind"] == "probe"
