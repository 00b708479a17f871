"""Print what one call of each full-size network takes, counted from its architecture: work, and memory on its way.

python docs/network_costs.py

Networks are built without memory for their weights (docs/weights.py has the architectures) and called with inputs that
hold nothing: every product is counted, and every tensor from when it appears until nothing refers to it. Attention is
taken to be fused, as on GPUs: its matrix of all pairs is never there. What cuDNN takes for itself is not in it.
"""

from __future__ import annotations

import sys
import weakref
from pathlib import Path
from typing import Any, NamedTuple

import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    LlavaNextProcessor,
    MistralConfig,
)
from transformers.models.llava_next.modeling_llava_next import get_anyres_image_grid_shape

sys.path.insert(0, str(Path(__file__).parent))
from weights import VAE, VIT_H, XL

SIZES = (1024, 768)
PHOTO = (375, 500)  # height and width of a photo of Oxford Pets, as edits of it come to the judge
QUESTION = 45  # tokens of a prompt beside the picture: what docs/filter.md asks, with the template around it, or less
SD2 = {"cross_attention_dim": 1024, "attention_head_dim": (5, 10, 20, 20), "use_linear_projection": True}
HALF = torch.bfloat16


class Call(NamedTuple):
    """What a call takes."""

    tera: float  # floating-point operations, in units of 10^12; a product and its sum are two
    gigabytes: float  # at the worst moment, without the weights


class _Fused(TorchFunctionMode):
    """Lets attention make its output alone."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is torch.nn.functional.scaled_dot_product_attention:
            return torch.empty_like(args[0] if args else (kwargs or {})["query"])
        return function(*args, **(kwargs or {}))


class _Alive(TorchDispatchMode):
    """Adds up the bytes of tensors that are alive."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = function(*args, **(kwargs or {}))
        given = {
            each.untyped_storage()._cdata for each in tree_leaves((args, kwargs)) if isinstance(each, torch.Tensor)
        }
        for each in tree_leaves(made):
            if isinstance(each, torch.Tensor) and each.untyped_storage()._cdata not in given:
                storage = each.untyped_storage()
                if storage not in self._known:
                    self._known.add(storage)
                    size = storage.nbytes()
                    self.now += size
                    self.most = max(self.most, self.now)
                    weakref.finalize(storage, self._gone, size)
        return made

    def _gone(self, size: int) -> None:
        self.now -= size


@torch.no_grad()
def measure(call: Any) -> Call:
    """Return what a call of networks on the device ``meta`` takes."""
    with FlopCounterMode(display=False) as flops:
        call()
    with _Fused(), _Alive() as alive:
        call()
    return Call(flops.get_total_flops() / 1e12, alive.most / 1e9)


def _blank(*shape: int) -> torch.Tensor:
    return torch.empty(shape, dtype=HALF, device="meta")


def unet_calls(rows: int = 2) -> dict[str, Call]:
    """Return a step of SDXL's UNet and of its ControlNet, by name and side; two rows are a picture with guidance."""
    with torch.device("meta"):
        unet, prior = (UNet2DConditionModel(**each).to(HALF).eval() for each in ({**XL, "in_channels": 9}, SD2))
        control = ControlNetModel.from_unet(UNet2DConditionModel(**XL), load_weights_from_unet=False).to(HALF).eval()
    found = {}
    for side in SIZES:
        small = side // 8
        more = {"text_embeds": _blank(rows, 1280), "time_ids": _blank(rows, 6)}
        words, narrow, time = _blank(rows, 77, 2048), _blank(rows, 77, 1024), torch.ones((), device="meta")
        found[f"UNet {side}"] = measure(
            lambda: unet(_blank(rows, 9, small, small), time, words, added_cond_kwargs=more)  # noqa: B023 - called here
        )
        found[f"ControlNet {side}"] = measure(
            lambda: control(_blank(rows, 4, small, small), time, words, _blank(rows, 3, side, side),  # noqa: B023
                            added_cond_kwargs=more)  # noqa: B023
        )  # fmt: skip
        found[f"UNet of priors {side}"] = measure(lambda: prior(_blank(rows, 4, small, small), time, narrow))  # noqa: B023
    return found


def vae_calls() -> dict[str, Call]:
    """Return one picture on its way into and out of SDXL's autoencoder, by name and side."""
    with torch.device("meta"):
        vae = AutoencoderKL(**VAE).to(HALF).eval()
    found = {}
    for side in SIZES:
        found[f"VAE encoder {side}"] = measure(lambda: vae.encoder(_blank(1, 3, side, side)))  # noqa: B023
        found[f"VAE decoder {side}"] = measure(lambda: vae.decoder(_blank(1, 4, side // 8, side // 8)))  # noqa: B023
    return found


def picture_tokens(config: LlavaNextConfig, height: int, width: int) -> tuple[int, int]:
    """Return how many tokens LLaVA-NeXT reads of a picture, and how many tiles its image encoder looks at."""
    side = config.vision_config.image_size
    across = side // config.vision_config.patch_size
    rows, columns = get_anyres_image_grid_shape((height, width), config.image_grid_pinpoints, side)
    unpadded, ends = LlavaNextProcessor._get_unpadded_features(
        None,  # type: ignore[arg-type] - reads nothing of itself
        height, width, across, across, rows, columns,
    )  # fmt: skip
    return unpadded + ends + across**2, 1 + rows * columns


def judge_calls() -> dict[str, Call]:
    """Return LLaVA-NeXT's reading of a picture with a question, its look at the picture alone, and a question alone."""
    config = LlavaNextConfig(text_config=MistralConfig(vocab_size=32064, sliding_window=None))
    with torch.device("meta"):
        judge = LlavaNextForConditionalGeneration(config).to(HALF).eval()
    tokens, tiles = picture_tokens(config, *PHOTO)
    print(f"LLaVA-NeXT reads {tokens} tokens of a picture of {PHOTO[1]} x {PHOTO[0]} pixels, which is {tiles} tiles")
    side = config.vision_config.image_size

    def read(count: int) -> Call:
        inputs, mask = _blank(1, count, config.text_config.hidden_size), _blank(1, 1, count, count)
        return measure(lambda: judge.model.language_model(inputs_embeds=inputs, attention_mask=mask, use_cache=False))

    look = measure(lambda: judge.model.vision_tower(_blank(tiles, 3, side, side)))
    return {"judge, look": look, "judge, picture": read(tokens), "judge, question": read(QUESTION)}


def encoder_call() -> Call:
    """Return the IP-Adapter's look at a picture of 224 pixels."""
    with torch.device("meta"):
        encoder = CLIPVisionModelWithProjection(CLIPVisionConfig(**VIT_H)).to(HALF).eval()
    return measure(lambda: encoder(_blank(1, 3, 224, 224)))


def main() -> None:
    """Print a row a network."""
    print("| a call | TFLOP | GB on its way |\n| --- | --- | --- |")
    parts = (judge_calls, vae_calls, lambda: {"image encoder": encoder_call()}, unet_calls)
    for name, call in (each for part in parts for each in part().items()):
        print(f"| {name} | {call.tera:.2f} | {call.gigabytes:.2f} |", flush=True)


if __name__ == "__main__":
    main()
