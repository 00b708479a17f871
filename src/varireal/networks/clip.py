"""CLIP models through open_clip: by name and tag, from a folder, or from the hub; weights as safetensors only.

open_clip and torch are imported inside the functions: they take seconds.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import functools
import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from varireal.base.files import sha256_file, sha256_folder
from varireal.base.seeding import forked_torch_rng
from varireal.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    import torch

logger = logging.getLogger(__name__)

LOCAL = "local-dir:"
HUB = "hf-hub:"
CONFIG = "open_clip_config.json"
# open_clip's own order of preference among the weights of a folder, without the pickles
HUB_WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors")  # model.safetensors may be a part
WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "model.safetensors")


@dataclasses.dataclass(frozen=True)
class Clip:
    """A CLIP in evaluation mode with its tokenizer and its preprocessing of photos."""

    model: Any  # open_clip.CLIP or CustomTextCLIP
    tokenizer: Any  # list of sentences -> int64 (N, context length)
    image_size: int  # side of the square input, in pixels
    mean: tuple[float, float, float]  # per channel, of values in [0, 1]
    std: tuple[float, float, float]
    preprocessing: str  # open_clip's settings of the geometry, as JSON: what a resized picture depends on
    geometry: Any  # open_clip's resize and crop of a PIL picture: the part of its transform before the normalisation

    @property
    def device(self) -> torch.device:
        """Return the device the model lies on."""
        return self.model.logit_scale.device

    @property
    def logit_scale(self) -> float:
        """Return the factor from cosines to logits (the exponential of the learned parameter)."""
        return float(self.model.logit_scale.detach().float().exp())

    def resize(self, image: np.ndarray) -> np.ndarray:
        """Return a uint8 RGB picture (H, W, 3) as the model sees it: uint8 (image_size, image_size, 3)."""
        import numpy as np
        from PIL import Image

        return np.asarray(self.geometry(Image.fromarray(image)))

    def normalise(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return resized uint8 pixels (N, S, S, 3), or float ones in [0, 255], as the model's input (N, 3, S, S)."""
        import torch

        values = pixels.to(self.device).permute(0, 3, 1, 2).to(torch.float32).div(255)
        mean, std = (torch.tensor(value, device=self.device).view(1, 3, 1, 1) for value in (self.mean, self.std))
        return values.sub_(mean).div_(std).to(self.model.logit_scale.dtype)

    def encode_images(self, images: Sequence[np.ndarray] | np.ndarray) -> torch.Tensor:
        """Return the unit feature vectors, float32 (N, D), of uint8 RGB pictures of any size, without gradients.

        All pictures go through the network at once: the caller chooses the batch.
        """
        import numpy as np
        import torch

        pixels = torch.from_numpy(np.stack([self.resize(image) for image in images]))
        with torch.no_grad():
            return self.model.encode_image(self.normalise(pixels), normalize=True).float()

    def tokenize(self, sentences: Sequence[str]) -> torch.Tensor:
        """Return the tokens of the sentences on the model's device, int64 (N, context length)."""
        return self.tokenizer(list(sentences)).to(self.device)

    def encode_texts(self, sentences: Sequence[str]) -> torch.Tensor:
        """Return the unit feature vectors, float32 (N, D), of sentences, without gradients."""
        import torch

        with torch.no_grad():
            return self.model.encode_text(self.tokenize(sentences), normalize=True).float()


def check_clip(model: str, pretrained: str | None, key: str = "clip") -> None:
    """Check what can be checked without importing or downloading anything: the folder or the weights file.

    ``key`` is the section of params.yaml that asked for the model, for the message.

    Raises:
        UserError: the folder, its configuration or its safetensors are missing, or the weights are a pickle.
    """
    if model.startswith(LOCAL):
        if pretrained:
            raise UserError(
                f"{key}.pretrained = {pretrained!r} has no meaning beside a folder of weights; set it to null"
            )
        _local_weights(Path(model.removeprefix(LOCAL)), key)
    elif not model.startswith(HUB) and pretrained and Path(pretrained).suffix:
        _refuse_pickle(Path(pretrained), key)


def clip_identity(model: str, pretrained: str | None, key: str = "clip") -> str:
    """Return what stands for the weights in a content key: a hash of local files, else the name and the tag.

    ``key`` is what asked for the model, for the message.

    Raises:
        UserError: the local files are missing.
    """
    check_clip(model, pretrained, key)
    if model.startswith(LOCAL):
        return sha256_folder(Path(model.removeprefix(LOCAL)))
    if pretrained and Path(pretrained).is_file():
        return f"{model}:{sha256_file(Path(pretrained))}"
    return f"{model}:{pretrained}"


def load_clip(
    model: str,
    pretrained: str | None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    key: str = "clip",
) -> Clip:
    """Load a CLIP in evaluation mode; ``dtype`` None means float32.

    Args:
        model: an open_clip model name, ``local-dir:<folder>`` (open_clip_config.json beside safetensors) or
            ``hf-hub:<id>``.
        pretrained: open_clip's tag or a safetensors file for a model name; None gives random weights, the same
            ones every time. A tag trained with QuickGELU switches it on, as its activations need.
        key: the section of params.yaml that asked for the model, for error messages.

    Raises:
        UserError: the name, the tag or the folder is unknown, or the weights are no safetensors of that model.
    """
    check_clip(model, pretrained, key)
    import open_clip
    import torch
    from open_clip.transform import PreprocessCfg, image_transform_v2

    quick_gelu = False
    if not model.startswith((LOCAL, HUB)):
        quick_gelu = _check_name(open_clip, model, pretrained, key)
    weights = _weights(open_clip, model, pretrained, key)
    try:
        with forked_torch_rng("clip", model), _without_open_clips_warning():
            network = open_clip.create_model(
                model,
                pretrained=pretrained,
                load_weights=False,
                force_quick_gelu=quick_gelu,
                pretrained_image=False,
                pretrained_text=False,
            )
        if weights is not None:
            open_clip.load_checkpoint(network, str(weights))
    except (RuntimeError, ValueError, KeyError, TypeError, OSError) as error:
        raise UserError(
            f"{key}.model = {model!r} cannot be loaded ({_short(error)}); check the folder or name"
        ) from error
    if weights is None:
        logger.warning("%s.pretrained is null: %s starts from random weights", key, model)
    network = network.to(device=device, dtype=dtype or torch.float32).eval().requires_grad_(False)
    config = PreprocessCfg(**network.visual.preprocess_cfg)
    sides = {config.size} if isinstance(config.size, int) else set(config.size)
    if len(sides) != 1:
        raise UserError(
            f"{key}.model = {model!r} takes pictures of {config.size} pixels; only square inputs are supported"
        )
    steps = image_transform_v2(config, is_train=False).transforms
    return Clip(
        model=network,
        tokenizer=open_clip.get_tokenizer(model),
        image_size=sides.pop(),
        mean=tuple(config.mean),
        std=tuple(config.std),
        preprocessing=json.dumps(
            {name: value for name, value in dataclasses.asdict(config).items() if name not in ("mean", "std")}
        ),
        geometry=functools.partial(_apply, steps[:-2]),  # the last two turn it into a tensor and normalise
    )


@contextlib.contextmanager
def _without_open_clips_warning() -> Iterator[None]:
    """Hold back open_clip's "initialized randomly", which is untrue here: the weights are loaded right after."""
    root = logging.getLogger()  # open_clip logs there

    def keep(record: logging.LogRecord) -> bool:
        return "initialized randomly" not in record.getMessage()

    root.addFilter(keep)
    try:
        yield
    finally:
        root.removeFilter(keep)


def _apply(steps: Sequence[Any], picture: Any) -> Any:
    for step in steps:
        picture = step(picture)
    return picture


def _short(error: BaseException) -> str:
    """Return the beginning of an error's text on one line: state dict errors run over pages."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else f"{text[:300]}…"


def _local_weights(folder: Path, key: str) -> Path:
    """Return the safetensors of an open_clip folder."""
    if not folder.is_dir():
        raise UserError(f"{key}.model names the folder {folder}, which does not exist; check the path in params.yaml")
    try:
        json.loads((folder / CONFIG).read_text(encoding="utf-8"))["model_cfg"]
    except FileNotFoundError as error:
        raise UserError(
            f"{key}.model: the folder {folder} has no {CONFIG}; it needs one in open_clip's format"
        ) from error
    except (KeyError, TypeError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"{key}.model: {folder / CONFIG} is no JSON with a 'model_cfg' ({_short(error)})") from error
    found = [folder / name for name in WEIGHTS if (folder / name).is_file()] or sorted(folder.glob("*.safetensors"))
    if not found:
        raise UserError(
            f"{key}.model: the folder {folder} has no .safetensors weights; pickled weights (.bin, .pt) are not read, "
            "convert them with safetensors.torch.save_file"
        )
    return found[0]


def _refuse_pickle(path: Path, key: str) -> None:
    """Refuse a weights file that is missing or is not safetensors; a tag with a dot in it is not a file."""
    if path.is_file() and path.suffix != ".safetensors":
        raise UserError(f"{key}.pretrained = {str(path)!r}: only .safetensors are read, as other formats can run code")
    if path.suffix in {".safetensors", ".bin", ".pt", ".pth"} and not path.is_file():
        raise UserError(f"{key}.pretrained = {str(path)!r} does not exist; check the path in params.yaml")


def _check_name(open_clip: Any, model: str, pretrained: str | None, key: str) -> bool:
    """Check a built-in name and its tag; return whether the tag's weights need QuickGELU."""
    names = open_clip.list_models()
    if model not in names:
        close = difflib.get_close_matches(model, names, n=3)
        hint = f"did you mean {' or '.join(close)}" if close else "for example ViT-B-16"
        raise UserError(
            f"{key}.model = {model!r} is no open_clip model; {hint}, or local-dir:<folder>, or hf-hub:<id>?"
        )
    if not pretrained or Path(pretrained).is_file():
        return False
    settings = open_clip.get_pretrained_cfg(model, pretrained)
    if not settings:
        tags = open_clip.list_pretrained_tags_by_model(model)
        raise UserError(
            f"{key}.pretrained = {pretrained!r} is neither a safetensors file nor a tag of {model}; "
            f"its tags: {', '.join(tags) or 'none'}"
        )
    return bool(settings.get("quick_gelu", False))


def _weights(open_clip: Any, model: str, pretrained: str | None, key: str) -> Path | None:
    """Return the safetensors to load (downloaded by open_clip if need be), or None for random weights."""
    if model.startswith(LOCAL):
        return _local_weights(Path(model.removeprefix(LOCAL)), key)
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
            return Path(hf_hub_download(repository, file))
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
        f"{key}.model: {name} cannot be downloaded ({_short(error)}); check the name and the network, "
        "or use local-dir:<folder>"
    )
