"""Where the weights of a CLIP come from: a folder, a file, open_clip's tags or the hub; safetensors only."""

from __future__ import annotations

import difflib
import json
import logging
from pathlib import Path

from varireal.errors import UserError
from varireal.networks.checkpoint_forms import form_of_file, tensor_names

logger = logging.getLogger(__name__)

QUICK = "-quickgelu"  # ends the names of open_clip's models that compute with QuickGELU
OPENAI = {"input_resolution", "context_length", "vocab_size"}  # tensors in the weights that OpenAI published
LOCAL = "local-dir:"
HUB = "hf-hub:"
CONFIG = "open_clip_config.json"
# open_clip's own order of preference among the weights of a folder, without the pickles
HUB_WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors")  # model.safetensors may be a part
WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "model.safetensors")

# commits of the repositories that open_clip's tags lead to, so that a tag means the same weights next year
PINNED = {
    "timm/vit_base_patch16_clip_224.openai": "977e3dd0ec55ab8da155f2fbeb6b5f54948b6e3d",
    "timm/ViT-B-16-SigLIP2": "eee10eff6dd8cabae2d7f379d4e8cfcd352030aa",
}


def shorten(error: BaseException) -> str:
    """Return the beginning of an error's text on one line, as errors of state dicts run over pages."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else f"{text[:300]}…"


def find_local_weights(folder: Path, key: str) -> Path:
    """Find the safetensors of a folder in open_clip's format.

    Raises:
        UserError: the folder, its configuration or its safetensors are missing.
    """
    if not folder.is_dir():
        raise UserError(f"{key}.model names the folder {folder}, which does not exist; check the path in params.yaml")
    try:
        json.loads((folder / CONFIG).read_text(encoding="utf-8"))["model_cfg"]
    except FileNotFoundError as error:
        raise UserError(
            f"{key}.model: the folder {folder} has no {CONFIG}; it needs one in open_clip's format"
        ) from error
    except (KeyError, TypeError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"{key}.model: {folder / CONFIG} is no JSON with a 'model_cfg' ({shorten(error)})") from error
    files = [folder / name for name in WEIGHTS if (folder / name).is_file()] or sorted(folder.glob("*.safetensors"))
    if not files:
        raise UserError(
            f"{key}.model: the folder {folder} has no .safetensors weights; pickled weights (.bin, .pt) are not read, "
            "convert them with safetensors.torch.save_file"
        )
    return files[0]


def unpinned(model: str, pretrained: str | None) -> str | None:
    """Return the repository of the hub that weights would come from at no commit that is known; None for others."""
    import open_clip

    if model.startswith(LOCAL) or (pretrained and Path(pretrained).is_file()):
        return None
    if model.startswith(HUB):
        repository = model.removeprefix(HUB)
    else:
        settings = open_clip.get_pretrained_cfg(model, pretrained) if pretrained else {}
        repository = str(settings.get("hf_hub") or "").rpartition("/")[0]
    return repository if repository and repository not in PINNED else None


def refuse_pickle(path: Path, key: str) -> None:
    """Refuse a weights file that is missing or no safetensors; a tag with a dot in it is not a file."""
    if path.is_file() and path.suffix != ".safetensors":
        raise UserError(
            f"{key}.pretrained = {str(path)!r}: only .safetensors are read, as other formats can run code; this is "
            f"{form_of_file(path)}"
        )
    if path.suffix in {".safetensors", ".bin", ".pt", ".pth"} and not path.is_file():
        raise UserError(f"{key}.pretrained = {str(path)!r} does not exist; check the path in params.yaml")


def check_name(model: str, pretrained: str | None, key: str) -> bool:
    """Check a built-in name and its tag; return whether the tag's weights need QuickGELU.

    Raises:
        UserError: open_clip does not know the name or the tag.
    """
    import open_clip

    if model.startswith((LOCAL, HUB)):
        return False
    names = open_clip.list_models()
    if model not in names:
        close = difflib.get_close_matches(model, names, n=3)
        hint = f"did you mean {' or '.join(close)}" if close else "for example ViT-B-16"
        raise UserError(
            f"{key}.model = {model!r} is no open_clip model; {hint}, or local-dir:<folder>, or hf-hub:<id>?"
        )
    if not pretrained:
        return False
    if Path(pretrained).is_file():
        _warn_of_unknown_activation(model, Path(pretrained), key, names)
        return file_wants_quick_gelu(model, Path(pretrained), key)
    settings = open_clip.get_pretrained_cfg(model, pretrained)
    if not settings:
        tags = open_clip.list_pretrained_tags_by_model(model)
        raise UserError(
            f"{key}.pretrained = {pretrained!r} is neither a safetensors file nor a tag of {model}; "
            f"its tags: {', '.join(tags) or 'none'}"
        )
    return bool(settings.get("quick_gelu", False))


def file_wants_quick_gelu(model: str, file: Path, key: str) -> bool:
    """Tell whether a file's weights are known to need QuickGELU, which the name of the model does not switch on.

    Raises:
        UserError: the model's name switches it on, but the weights are known to need plain GELU.
    """
    if model.startswith((LOCAL, HUB)):
        return False
    wanted, where = _stated_activation(file)
    if model.endswith(QUICK) and wanted is False:
        raise UserError(
            f"{key}.model = {model!r} computes with QuickGELU, but the weights of {file} need plain GELU (so {where} "
            f"says); set it to {model.removesuffix(QUICK)!r}"
        )
    return wanted is True and not model.endswith(QUICK)


def _stated_activation(file: Path) -> tuple[bool | None, str]:
    """Return whether weights need QuickGELU and what says so; None where nothing does.

    The configuration beside them says it, of open_clip or of transformers; OpenAI's own weights are told by three
    numbers that no others hold.
    """
    for name in (CONFIG, "config.json"):
        try:
            told = json.loads((file.parent / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(told, dict) and isinstance(told.get("model_cfg"), dict):
            return bool(told["model_cfg"].get("quick_gelu", False)), name
        tower = told.get("vision_config") if isinstance(told, dict) else None
        if isinstance(tower, dict) and isinstance(tower.get("hidden_act"), str):
            return tower["hidden_act"] == "quick_gelu", name
    return (True, "a mark of OpenAI's weights") if tensor_names(file) >= OPENAI else (None, "")


def _warn_of_unknown_activation(model: str, file: Path, key: str, names: list[str]) -> None:
    if f"{model}{QUICK}" in names and _stated_activation(file)[0] is None:
        logger.warning(
            "%s.pretrained = %s does not say which activation its weights need; %s.model = %r takes plain GELU: if "
            "they were made with QuickGELU (OpenAI, DFN, MetaCLIP), set it to %r",
            key, file, key, model, f"{model}{QUICK}",
        )  # fmt: skip


def find_weights(model: str, pretrained: str | None, key: str) -> Path | None:
    """Find the safetensors to load, downloading them if need be; None means random weights.

    Raises:
        UserError: there are none, or they cannot be downloaded.
    """
    import open_clip

    if model.startswith(LOCAL):
        return find_local_weights(Path(model.removeprefix(LOCAL)), key)
    if pretrained and Path(pretrained).is_file():
        return Path(pretrained)
    if model.startswith(HUB):
        return _hub_weights(model.removeprefix(HUB), model, key)
    if not pretrained:
        return None
    repository = str(open_clip.get_pretrained_cfg(model, pretrained).get("hf_hub") or "").rpartition("/")[0]
    return _hub_weights(repository, f"{model} ({pretrained})", key)


def _hub_weights(repository: str, name: str, key: str) -> Path:
    """Download the safetensors of a hub repository in open_clip's format, and never a pickle.

    open_clip's table has a repository for most tags, such as timm/vit_base_patch16_clip_224.openai for OpenAI's; its
    own download would fall back to pickles there.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    for file in HUB_WEIGHTS if repository else ():
        try:
            return Path(hf_hub_download(repository, file, revision=PINNED.get(repository)))
        except LocalEntryNotFoundError as error:  # a kind of EntryNotFoundError, but it says that there is no network
            raise _no_download(name, key, error) from error
        except EntryNotFoundError:
            continue
        except (OSError, RuntimeError, ValueError) as error:
            raise _no_download(name, key, error) from error
    raise UserError(
        f"{key}.model: {name} is published as a pickle only, which can run code and is not read; where you trust it, "
        "convert it once: load it with open_clip.create_model, write its state_dict with safetensors.torch.save_file, "
        f"and name the file in {key}.pretrained"
    )


def _no_download(name: str, key: str, error: BaseException) -> UserError:
    return UserError(
        f"{key}.model: {name} cannot be downloaded ({shorten(error)}); check the name and the network, "
        "or use local-dir:<folder>"
    )
