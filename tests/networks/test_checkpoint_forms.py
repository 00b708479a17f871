"""Checkpoints in the forms that people download them in: each is told with its remedy."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from varireal.errors import UserError
from varireal.networks.checkpoints import check_checkpoint, check_variant

KEY = "edit.inpaint.checkpoint"
LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12314320\n"


def weights(file: Path, *names: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: np.zeros(2, np.float32) for name in names or ("conv.weight",)}, file)
    return file


def touch(file: Path, text: str = "x") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def pipeline(folder: Path) -> Path:
    touch(folder / "model_index.json", "{}")
    weights(folder / "unet" / "diffusion_pytorch_model.safetensors")
    touch(folder / "unet" / "config.json", "{}")
    return folder


def refused(path: Path, said: str, config: str = "model_index.json") -> None:
    with pytest.raises(UserError, match=said) as caught:
        check_checkpoint(str(path), KEY, config)
    assert str(caught.value).startswith(f"{KEY} = {path.as_posix()!r}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "tensors", "said"),
    [
        ("juggernaut.safetensors", ("model.diffusion_model.out.weight",), "in a single file; load it once with"),
        ("unet.safetensors", ("conv_in.weight",), "a single file of weights; name the folder"),
        ("style.safetensors", ("unet.down.lora_A.weight", "unet.down.lora_B.weight"), "LoRA weights.*weight_name"),
        ("kohya.safetensors", ("lora_unet_x.lora_down.weight", "lora_unet_x.alpha"), "LoRA weights"),
        ("model.ckpt", None, "a pickle, which can run code.*from_single_file"),
        ("model.bin", None, "a pickle"),
        ("model-Q4.gguf", None, "a GGUF file, which only llama.cpp"),
        ("model.onnx", None, "a file, and no folder"),
    ],
)  # fmt: skip
def test_a_file_is_told_by_what_it_holds(tmp_path, name, tensors, said):
    refused(weights(tmp_path / name, *tensors) if tensors else touch(tmp_path / name), said)


def test_a_folder_one_level_too_shallow_or_too_deep_is_told_with_the_right_one(tmp_path):
    inner = pipeline(tmp_path / "sdxl" / "snapshots" / "0123abcd")
    refused(tmp_path / "sdxl" / "snapshots", f"lies deeper: set it to {inner.as_posix()}$")
    refused(tmp_path / "sdxl", f"lies deeper: set it to {inner.as_posix()}$")
    refused(inner / "unet", f"part of the pipeline in {inner.as_posix()}: set it to that folder")
    touch(tmp_path / "outer" / "net" / "config.json", "{}")
    refused(tmp_path / "outer", "lies deeper: set it to .*outer/net$", "config.json")


def test_folders_of_other_things_are_told(tmp_path):
    touch(tmp_path / "lora" / "adapter_config.json", "{}")
    weights(tmp_path / "lora" / "adapter_model.safetensors", "x.lora_A.weight")
    refused(tmp_path / "lora", "has no model_index.json; it holds LoRA weights")
    weights(tmp_path / "single" / "big.safetensors", "model.diffusion_model.out.weight")
    refused(tmp_path / "single", "big.safetensors is a whole pipeline in a single file")
    touch(tmp_path / "llm" / "model-Q4.gguf")
    refused(tmp_path / "llm", "model-Q4.gguf is a GGUF file", "config.json")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "so it is not a checkpoint of that kind")


def test_folders_without_safetensors_say_what_they_have(tmp_path):
    folder = pipeline(tmp_path / "net")
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    file.unlink()
    refused(folder, "no .safetensors weights; .*get its weights too")
    touch(file.with_suffix(".bin"))
    refused(folder, r"only 1 \.bin: pickles can run code.*safe_serialization=True")


def test_a_pointer_in_the_place_of_weights_is_named(tmp_path):
    folder = pipeline(tmp_path / "net")
    touch(folder / "unet" / "diffusion_pytorch_model.safetensors", LFS)
    refused(folder, "unet/diffusion_pytorch_model.safetensors is a pointer of Git LFS.*git lfs pull")
    refused(touch(tmp_path / "clip.safetensors", LFS), "this is a pointer of Git LFS")


def test_a_whole_pipeline_passes(tmp_path):
    check_checkpoint(str(pipeline(tmp_path / "net")), KEY, "model_index.json")
    shutil.copytree(tmp_path / "net", tmp_path / "copy")
    check_checkpoint(str(tmp_path / "copy"), KEY, "config.json", "unet")


@pytest.mark.parametrize("name", ["x.fp16.safetensors", "x.fp16-00001-of-00002.safetensors"])
def test_halves_alone_are_told_with_the_variant_that_reads_them(tmp_path, name):
    folder = pipeline(tmp_path / "pipe")
    touch(folder / "vae" / "config.json", "{}")
    weights(folder / "vae" / name)
    with pytest.raises(UserError, match=r"vae/x\.fp16.* of plain ones; set variant to fp16 \(edit\.inpaint\.variant\)"):
        check_variant(str(folder), KEY, None)
    check_variant(str(folder), KEY, "fp16")
    with pytest.raises(UserError, match="of the variant 'bf16'; set variant to fp16"):
        check_variant(str(folder), KEY, "bf16")
    weights(folder / "vae" / "x.safetensors")
    check_variant(str(folder), KEY, None)
    check_variant("owner/name", KEY, None)  # of the hub: told when it is loaded
