from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from varireal.base.seeding import generator
from varireal.errors import UserError
from varireal.networks.clip import check_clip, clip_identity, load_clip
from varireal.networks.clip_weights import check_name, find_weights


@pytest.fixture(scope="module")
def clip(tiny_clip):
    return load_clip(f"local-dir:{tiny_clip}", None)


@pytest.fixture
def copied(tiny_clip, tmp_path) -> Path:
    return Path(shutil.copytree(tiny_clip, tmp_path / "clip"))


def pictures() -> list[np.ndarray]:
    rng = generator("test_clip")
    return [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in ((50, 71), (32, 32), (90, 40))]


def test_images_and_texts_get_open_clips_own_features(clip, tiny_clip):
    import open_clip

    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{tiny_clip}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{tiny_clip}")
    batch = torch.stack([transform(Image.fromarray(picture)) for picture in pictures()])
    ours = clip.normalise(torch.from_numpy(np.stack([clip.resize(picture) for picture in pictures()])))
    assert torch.equal(ours, batch)
    with torch.no_grad():
        images = model.eval().encode_image(batch, normalize=True)
        texts = model.encode_text(tokenizer(["a photo of a glider", "b"]), normalize=True)
    torch.testing.assert_close(clip.encode_images(pictures()), images)
    torch.testing.assert_close(clip.encode_texts(["a photo of a glider", "b"]), texts)
    assert clip.logit_scale == pytest.approx(float(model.logit_scale.detach().exp()))


def test_float16_weights_are_computed_with_in_float32(clip, copied):
    path = copied / "open_clip_model.safetensors"
    save_file({name: value.half() for name, value in load_file(path).items()}, path)
    halved = load_clip(f"local-dir:{copied}", None)
    assert halved.model.logit_scale.dtype == torch.float32
    difference = (halved.encode_images(pictures()) - clip.encode_images(pictures())).abs().max()
    assert 0 < difference < 0.01


def test_safetensors_are_preferred_to_pickles_and_pickles_alone_are_refused(copied, clip):
    (copied / "open_clip_pytorch_model.bin").write_bytes(b"a pickle that would run code")
    torch.testing.assert_close(load_clip(f"local-dir:{copied}", None).encode_texts(["a"]), clip.encode_texts(["a"]))
    (copied / "open_clip_model.safetensors").unlink()
    with pytest.raises(UserError, match=r"no \.safetensors weights; pickled weights .* are not read"):
        load_clip(f"local-dir:{copied}", None)


def test_a_missing_folder_is_named_with_its_key(tmp_path):
    with pytest.raises(UserError, match=r"filter\.model names the folder .*nowhere, which does not exist"):
        check_clip(f"local-dir:{tmp_path / 'nowhere'}", None, key="filter")


def test_a_folder_without_a_configuration_is_refused(copied):
    (copied / "open_clip_config.json").write_text("{}")
    with pytest.raises(UserError, match="no JSON with a 'model_cfg'"):
        check_clip(f"local-dir:{copied}", None)
    (copied / "open_clip_config.json").unlink()
    with pytest.raises(UserError, match=r"has no open_clip_config\.json"):
        check_clip(f"local-dir:{copied}", None)


def test_weights_of_another_size_are_refused_in_one_line(copied):
    config = json.loads((copied / "open_clip_config.json").read_text())
    config["model_cfg"]["vision_cfg"]["layers"] = 3
    (copied / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="cannot be loaded") as caught:
        load_clip(f"local-dir:{copied}", None)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600


def test_unknown_names_and_tags_are_answered_with_what_there_is():
    with pytest.raises(UserError, match=r"no open_clip model; did you mean .*ViT-B-16"):
        load_clip("ViT-B-61", None)
    with pytest.raises(UserError, match="neither a safetensors file nor a tag of ViT-B-16; its tags: openai"):
        load_clip("ViT-B-16", "openia")


def test_pickled_and_missing_weight_files_are_refused_before_anything_is_imported(tmp_path):
    (tmp_path / "weights.pt").write_bytes(b"pickle")
    with pytest.raises(UserError, match=r"only \.safetensors are read"):
        check_clip("ViT-B-16", str(tmp_path / "weights.pt"))
    with pytest.raises(UserError, match="does not exist"):
        check_clip("ViT-B-16", str(tmp_path / "weights.safetensors"))
    with pytest.raises(UserError, match=r"clip\.pretrained = 'openai' has no meaning beside a folder"):
        check_clip("local-dir:models/demo/clip", "openai")


def test_tags_of_openai_ask_for_quickgelu_and_others_do_not():
    assert check_name("ViT-B-16", "openai", "clip") is True
    assert check_name("ViT-B-16", "laion2b_s34b_b88k", "clip") is False


def test_the_identity_follows_the_weights(copied):
    before = clip_identity(f"local-dir:{copied}", None)
    path = copied / "open_clip_model.safetensors"
    weights = load_file(path)
    weights["logit_scale"] += 1
    save_file(weights, path)
    assert clip_identity(f"local-dir:{copied}", None) != before
    assert clip_identity("ViT-B-16", "openai") == "ViT-B-16:openai"


@pytest.fixture
def hub(monkeypatch, copied):
    """A hub that has, for every repository, the files named here, with the tiny model's weights; None: no network."""
    from unittest.mock import Mock

    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError, RemoteEntryNotFoundError

    asked: list[tuple[str, str, str | None]] = []
    files: list[str] | None = []

    def download(repository: str, name: str, revision: str | None) -> str:
        asked.append((repository, name, revision))
        if files == ["offline"]:
            raise LocalEntryNotFoundError("no network")
        if name not in files:
            raise RemoteEntryNotFoundError("404", response=Mock(headers={}))
        return str(copied / "open_clip_model.safetensors")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    return asked, files


def test_openais_weights_come_as_safetensors_from_the_repository_that_open_clip_names(hub, copied):
    asked, files = hub
    files.append("open_clip_model.safetensors")
    for model in ("ViT-B-16", "ViT-B-16-quickgelu"):
        assert find_weights(model, "openai", "clip") == copied / "open_clip_model.safetensors"
    (one,) = set(asked)
    assert one[:2] == ("timm/vit_base_patch16_clip_224.openai", "open_clip_model.safetensors")
    assert len(one[2]) == 40 and int(one[2], 16)  # a commit, so that the tag means the same weights next year


def test_a_repository_with_pickles_only_is_refused_with_the_way_to_convert_and_nothing_is_downloaded(hub):
    asked, _ = hub
    with pytest.raises(UserError, match=r"pickle only, .* convert it once: .*save_file, and name the file in"):
        find_weights("hf-hub:someone/pickled", None, "clip")
    assert {name.rpartition(".")[2] for _, name, _ in asked} == {"safetensors"}
    asked.clear()
    with pytest.raises(UserError, match=r"RN50-quickgelu .* is published as a pickle only"):
        find_weights("RN50-quickgelu", "none of its tags has a repository", "clip")
    assert not asked


def test_without_network_the_error_says_so(hub):
    hub[1].append("offline")
    with pytest.raises(UserError, match=r"filter\.model: hf-hub:a/b cannot be downloaded \(no network\); check"):
        find_weights("hf-hub:a/b", None, "filter")


@pytest.mark.parametrize("tensor", ["visual.proj", "text_projection"])
def test_features_that_are_no_numbers_are_refused_with_checkpoint_and_precision_when_it_is_loaded(copied, tensor):
    path = copied / "open_clip_model.safetensors"
    tensors = load_file(path)
    tensors[tensor][0, 0] = float("nan")
    save_file(tensors, path)
    with pytest.raises(UserError, match=r"filter\.model = 'local-dir:.*no numbers .* in float32; its weights must be"):
        load_clip(f"local-dir:{copied}", None, key="filter")


OPENAIS = {name: torch.tensor(1) for name in ("input_resolution", "context_length", "vocab_size")}


@pytest.mark.parametrize(
    ("beside", "tensors", "quick"),
    [
        ({"open_clip_config.json": {"model_cfg": {"quick_gelu": True}}}, {}, True),
        ({"open_clip_config.json": {"model_cfg": {}}}, {}, False),
        ({"config.json": {"vision_config": {"hidden_act": "quick_gelu"}}}, {}, True),
        ({"config.json": {"vision_config": {"hidden_act": "gelu"}}}, {}, False),
        ({}, OPENAIS, True),
        ({"open_clip_config.json": ["no settings"], "config.json": {}}, OPENAIS, True),
        ({}, {}, None),
    ],
)
def test_the_activation_of_a_weights_file_is_inferred_or_asked_for(tmp_path, caplog, beside, tensors, quick):
    for name, content in beside.items():
        (tmp_path / name).write_text(json.dumps(content))
    file = tmp_path / "weights.safetensors"
    save_file({"visual.proj": torch.zeros(2, 2), **tensors}, file)
    assert check_name("ViT-B-32", str(file), "clip") is (quick is True)
    assert ("set it to 'ViT-B-32-quickgelu'" in caplog.text) is (quick is None)
    assert clip_identity("ViT-B-32", str(file)).endswith(":quickgelu") is (quick is True)
    if quick is False:
        with pytest.raises(UserError, match=r"need plain GELU .*config\.json says.; set it to 'ViT-B-32'"):
            check_name("ViT-B-32-quickgelu", str(file), "clip")
    else:
        assert check_name("ViT-B-32-quickgelu", str(file), "clip") is False  # the name switches it on


def test_a_model_without_a_quickgelu_of_its_own_is_not_warned_of(tmp_path, caplog):
    save_file({"visual.proj": torch.zeros(2, 2)}, tmp_path / "weights.safetensors")
    assert check_name("RN50x4-quickgelu", str(tmp_path / "weights.safetensors"), "clip") is False
    assert check_name("ViT-B-16-SigLIP", str(tmp_path / "weights.safetensors"), "clip") is False
    assert not caplog.records
