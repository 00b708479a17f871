"""The forms that people download checkpoints in, told by names of files and tensors, each with its remedy."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

PICKLES = frozenset({".bin", ".ckpt", ".pt", ".pth"})
LFS = b"version https://git-lfs"  # begins the pointers that stand for files of Git LFS
POINTER = "a pointer of Git LFS instead of weights; run `git lfs pull` where it was cloned, or download it again"
SHARD = re.compile(r"-\d+-of-\d+$")  # ends the names of weights in several files
SINGLE = "model.diffusion_model."  # begins names of tensors in the single files of Stable Diffusion's own format
CONVERTED = "load it once with diffusers' from_single_file and write it with save_pretrained"


def form_of_file(file: Path) -> str:
    """Say what a file is that is named where a checkpoint's folder should be, and what to do."""
    if file.suffix == ".gguf":
        return "a GGUF file, which only llama.cpp and its kin read; take the same model's folder of .safetensors"
    if file.suffix in PICKLES:
        return f"a pickle, which can run code and is not read; where you trust it, {CONVERTED} (.safetensors)"
    if file.suffix != ".safetensors":
        return "a file, and no folder of a checkpoint"
    if is_pointer(file):
        return POINTER
    names = tensor_names(file)
    if are_lora(names):
        return (
            "a file of LoRA weights, and no checkpoint; diffusion takes it as lora.checkpoint (its folder) and "
            "lora.weight_name (its name) of the section"
        )
    if any(name.startswith(SINGLE) for name in names):
        return f"a whole pipeline in a single file; {CONVERTED}, and name that folder"
    return f"a single file of weights; name the folder that it belongs to ({file.parent.as_posix()}?)"


def form_without_config(folder: Path, config_name: str) -> str | None:
    """Say what a folder is that lacks a checkpoint's configuration, and what to do; None where nothing tells."""
    inner = sorted(path.parent for path in [*folder.glob(f"*/{config_name}"), *folder.glob(f"*/*/{config_name}")])
    if config_name == "model_index.json" and inner:
        return f"the checkpoint lies deeper: set it to {inner[0].as_posix()}"
    if (folder.parent / "model_index.json").is_file():
        return f"it is a part of the pipeline in {folder.parent.as_posix()}: set it to that folder"
    files = sorted(path for path in folder.iterdir() if path.is_file())
    weights = [path for path in files if path.suffix in PICKLES | {".safetensors", ".gguf"}]
    if (folder / "adapter_config.json").is_file() or any("lora" in path.name.lower() for path in weights):
        return "it holds LoRA weights, and no checkpoint: name the checkpoint that they were made for, and them in lora"
    if inner:
        return f"the checkpoint lies deeper: set it to {inner[0].as_posix()}"
    if (folder / "model_index.json").is_file():
        return "it is a whole diffusers pipeline: name the folder in it that is meant"
    return f"{weights[0].name} is {form_of_file(weights[0])}" if weights else None


def form_without_safetensors(folder: Path) -> str:
    """Say which weights a folder has instead of safetensors, and what to do."""
    found = Counter(path.suffix for path in folder.rglob("*") if path.suffix in PICKLES | {".gguf"})
    kinds = ", ".join(f"{count} {suffix}" for suffix, count in sorted(found.items()))
    if found.keys() & PICKLES:
        return (
            f"only {kinds}: pickles can run code and are not read; where you trust them, load the folder once with "
            "from_pretrained and write it with save_pretrained(..., safe_serialization=True)"
        )
    if found:
        return f"only {kinds}, which only llama.cpp and its kin read; take the same model's .safetensors"
    return "get its weights too (a clone without Git LFS or a broken download lacks them)"


def pointers_for_weights(folder: Path) -> str | None:
    """Say which file of safetensors below a folder is a pointer of Git LFS, and what to do; None where none is."""
    for file in sorted(folder.rglob("*.safetensors")):
        if is_pointer(file):
            return f"{file.relative_to(folder).as_posix()} is {POINTER}"
    return None


def other_variant(folder: Path, variant: str | None) -> str | None:
    """Say which variant alone a pipeline's folder holds of a network, where another is asked for; None where it fits.

    Variants are told by a word before the suffix: ``model.fp16.safetensors``.
    """
    for part in sorted({path.parent for path in folder.glob("*/config.json")}):
        names = sorted(SHARD.sub("", file.stem) for file in part.glob("*.safetensors"))
        variants = {name.partition(".")[2] for name in names} or {""}
        if "" in variants or (variant or "") in variants:  # the plain weights serve where the variant has none
            continue
        found = sorted(variants)[0]
        asked = f"the variant {variant!r}" if variant else "plain ones"
        return f"{part.name}/{names[0]}.safetensors is there, but no weights of {asked}; set variant to {found}"
    return None


def is_pointer(file: Path) -> bool:
    """Tell whether a file is what Git LFS leaves in the place of a large one."""
    with file.open("rb") as opened:
        return opened.read(len(LFS)) == LFS


def tensor_names(file: Path) -> set[str]:
    """Return the names in a safetensors file; none where it is damaged, which loading it tells."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "np") as opened:
            return set(opened.keys())
    except (SafetensorError, OSError):
        return set()


def are_lora(names: set[str]) -> bool:
    """Tell whether tensors of these names are low-rank weights, of PEFT, diffusers or kohya."""
    return bool(names) and all(any(word in name for word in ("lora_", ".lora.", "alpha")) for name in names)
