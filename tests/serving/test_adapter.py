from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from tests.serving.conftest import CLASSES, make_adapter

from varireal.config import ClipConfig, ComputeConfig
from varireal.errors import UserError
from varireal.networks.clip import load_clip
from varireal.serving.adapter import load_merged, read_description
from varireal.training.lora import load_adapter

COMPUTE = ComputeConfig(device="cpu")


def change(folder: Path, **changes: object) -> None:
    path = folder / "varireal.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_the_merged_model_has_the_features_of_clip_with_its_adapter_on(adapter, tiny_clip):
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    bare = load_clip(f"local-dir:{tiny_clip}", None)
    plain = bare.model.encode_image(images, normalize=True)
    clip, description = load_merged(adapter, COMPUTE)
    assert description.classes == CLASSES
    with torch.no_grad():
        adapted = load_adapter(bare.model, adapter)
        tokens = bare.tokenize(description.sentences)
        expected = adapted.encode_image(images, normalize=True), adapted.encode_text(tokens, normalize=True)
        found = clip.model.encode_image(images, normalize=True), clip.model.encode_text(tokens, normalize=True)
    for ours, theirs in zip(found, expected):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    assert (found[0] - plain).abs().max() > 0.01, "the adapter changes nothing"
    assert not any("lora" in name for name, _ in clip.model.named_parameters())


def test_an_adapter_of_other_weights_is_refused(tiny_clip, tmp_path):
    copied = Path(shutil.copytree(tiny_clip, tmp_path / "clip"))
    folder = make_adapter(tmp_path / "adapters", ClipConfig(model=f"local-dir:{copied}", pretrained=None))
    load_merged(folder, COMPUTE)
    (copied / "open_clip_config.json").write_text((copied / "open_clip_config.json").read_text() + "\n")
    with pytest.raises(UserError, match=r"was trained on other weights of local-dir:.*clip \(then [0-9a-f]{12}, now"):
        load_merged(folder, COMPUTE)
    shutil.rmtree(copied)
    with pytest.raises(UserError, match=r"varireal\.json, clip\.model names the folder .*clip, which does not exist"):
        load_merged(folder, COMPUTE)


def test_weights_that_the_description_does_not_describe_are_refused(adapter, tiny_clip, tmp_path):
    path = adapter / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(UserError, match=r"adapter_model\.safetensors is not the adapter that .*varireal\.json describ"):
        load_merged(adapter, COMPUTE)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": ["biplane"]}, r"1 classes have 3 sentences"),
        ({"classes": []}, r"classes: List should have at least 1 item"),
        ({"clip": {"model": 3}}, r"clip\.model: Input should be a valid string"),
        ({"adapter_sha256": None}, r"adapter_sha256: Input should be a valid string"),
    ],
)
def test_a_spoilt_description_is_refused_with_its_key(adapter, changes, message):
    change(adapter, **changes)
    with pytest.raises(UserError, match=rf"varireal\.json does not describe an adapter \(.*{message}"):
        read_description(adapter)


def test_a_folder_without_an_adapter_is_refused(adapter, tmp_path):
    with pytest.raises(UserError, match=r"nowhere is no folder; name an adapter's"):
        read_description(tmp_path / "nowhere")
    (adapter / "adapter_config.json").unlink()
    with pytest.raises(UserError, match=r"lacks adapter_config\.json; name"):
        read_description(adapter)
