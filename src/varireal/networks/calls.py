"""What networks are called in a block of code: how often, on how much, for how long and with how much memory."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

# the networks that are told apart, by module and class; those within another one are part of it
NAMES = {
    "diffusers.models.unets.unet_2d_condition.UNet2DConditionModel": "UNet",
    "diffusers.models.controlnets.controlnet.ControlNetModel": "ControlNet",
    "diffusers.models.autoencoders.vae.Encoder": "VAE encoder",
    "diffusers.models.autoencoders.vae.Decoder": "VAE decoder",
    "diffusers.models.autoencoders.autoencoder_kl_qwenimage.QwenImageEncoder3d": "VAE encoder",
    "diffusers.models.autoencoders.autoencoder_kl_qwenimage.QwenImageDecoder3d": "VAE decoder",
    "open_clip.transformer.VisionTransformer": "CLIP, pictures",
    "open_clip.modified_resnet.ModifiedResNet": "CLIP, pictures",
    "open_clip.timm_model.TimmModel": "CLIP, pictures",
    "open_clip.transformer.TextTransformer": "CLIP, sentences",
    "open_clip.transformer.Transformer": "CLIP, sentences",
}
KINDS = {  # of transformers, by the beginning or end of the class
    "CLIPText": "text encoder",
    "CLIPVision": "image encoder",
    "ForConditionalGeneration": "judge",
    "ForSemanticSegmentation": "segmenter",
    "ForImageSegmentation": "segmenter",
    "ForObjectDetection": "detector",
    "Sam": "segmenter",
    "T5Encoder": "text encoder",
    "Qwen3": "text encoder",  # of pictures; a judge's is a part of it, and was found above
}
# what draws in place of a UNet, in every family of diffusers
TRANSFORMERS = ("diffusers.models.transformers.", "Transformer2DModel")
# how the classes end that look at pictures for a judge
LOOKING = ("VisionModel", "VisionTransformer", "VisionTransformerPretrainedModel")


@dataclasses.dataclass
class NetworkUse:
    """What a network of one kind did."""

    calls: int = 0
    rows: int = 0  # pictures, sentences or questions: the first dimension of what it was given
    tokens: int = 0  # of the text and pictures that a judge read
    seconds: float = 0.0
    weights: int = 0  # bytes, of all networks of the kind together
    peak: int = 0  # bytes on the accelerator at the worst moment, weights of all networks there included
    looks: int = 0  # pictures, or tiles of them, that a judge's own image encoder looked at

    def add(self, other: NetworkUse) -> None:
        """Add what the same networks did at another time."""
        for name in ("calls", "rows", "tokens", "seconds", "looks"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.weights, self.peak = max(self.weights, other.weights), max(self.peak, other.peak)


Uses = dict[str, NetworkUse]  # by kind


def add_uses(sums: Uses, more: Mapping[str, NetworkUse]) -> None:
    """Add what networks did to sums, which are changed."""
    for name, use in more.items():
        sums.setdefault(name, NetworkUse()).add(use)


@contextlib.contextmanager
def recording() -> Iterator[Uses]:
    """Record every call of a network in the block, in this process.

    On an accelerator each call is waited for, so that its time is its own; the block as a whole is slower for that.
    """
    from torch.nn.modules import module as hooks

    book = _Book()
    begin = hooks.register_module_forward_pre_hook(book.begin)
    end = hooks.register_module_forward_hook(book.end, with_kwargs=True, always_call=True)
    try:
        yield book.uses
    finally:
        begin.remove()
        end.remove()


class _Book:
    """Takes the calls of outermost known networks down."""

    def __init__(self) -> None:
        self.uses: Uses = {}
        self._running: torch.nn.Module | None = None
        self._looks = 0
        self._start = 0.0
        self._weighed: set[int] = set()

    def begin(self, module: torch.nn.Module, _arguments: Any) -> None:
        if self._running is None and kind_of(type(module)) is not None:
            self._running, self._looks = module, 0
            _wait(module, begins=True)
            self._start = time.perf_counter()

    def end(self, module: torch.nn.Module, arguments: tuple[Any, ...], *rest: Any) -> None:
        """Take down a call that ends; ``rest`` holds named arguments and output, the latter alone if it failed."""
        named: dict[str, Any] = rest[0] if len(rest) > 1 else {}
        if module is not self._running:
            if self._running is not None and _looks(type(module)):
                self._looks += _rows(arguments, named)
            return
        self._running = None
        peak = _wait(module, begins=False)
        use = self.uses.setdefault(str(kind_of(type(module))), NetworkUse())
        spent = time.perf_counter() - self._start
        use.add(NetworkUse(1, _rows(arguments, named), _tokens(named), spent))
        use.looks += self._looks if str(kind_of(type(module))) == "judge" else 0
        use.peak = max(use.peak, peak)
        if id(module) not in self._weighed:
            self._weighed.add(id(module))
            use.weights += sum(each.numel() * each.element_size() for each in module.parameters())


def kind_of(network: type) -> str | None:
    """Return what a class of networks is called in the record; None for parts of networks and other modules."""
    full = f"{network.__module__}.{network.__name__}"
    if full in NAMES:
        return NAMES[full]
    if full.startswith(TRANSFORMERS[0]) and full.endswith(TRANSFORMERS[1]):
        return "transformer"
    if not network.__module__.startswith("transformers.models."):
        return None
    if not any(base.__name__ == "PreTrainedModel" for base in network.__mro__):
        return None
    return next((kind for part, kind in KINDS.items() if part in network.__name__), None)


def _rows(arguments: tuple[Any, ...], named: Mapping[str, Any]) -> int:
    """Return the first dimension of what a network was given."""
    given = arguments[0] if arguments else next((each for each in named.values() if hasattr(each, "shape")), None)
    return 0 if given is None else len(given)


def _looks(network: type) -> bool:
    """Tell whether a class within a judge looks at pictures, as a whole."""
    return network.__module__.startswith("transformers.models.") and network.__name__.endswith(LOOKING)


def _tokens(named: Mapping[str, Any]) -> int:
    """Return how many tokens of a batch a judge read now: neither what fills shorter rows up, nor what it remembers."""
    mask, read = named.get("attention_mask"), named.get("input_ids")
    if mask is None or mask.dim() != 2:
        return 0
    return int((mask if read is None else mask[:, -read.shape[1] :]).sum())


def _wait(module: torch.nn.Module, *, begins: bool) -> int:
    """Wait until the module's accelerator is idle, and return the most bytes that it held since the last beginning."""
    import torch

    first = next(module.parameters(), None)
    if first is None or first.device.type != "cuda":
        return 0
    torch.cuda.synchronize(first.device)
    if begins:
        torch.cuda.reset_peak_memory_stats(first.device)
        return 0
    return torch.cuda.max_memory_allocated(first.device)
