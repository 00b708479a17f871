"""Batches that do not fit the memory: the same pictures in smaller parts, or one clear line."""

from __future__ import annotations

import functools
import logging
from typing import Any

import numpy as np
import pytest
from tests.editing.test_inpaint import SETTINGS, SIDE

from varireal.config import ComputeConfig, InpaintConfig, PriorConfig
from varireal.editing.inpaint import Inpainter, PictureMaker
from varireal.errors import UserError
from varireal.networks.memory import Fitting
from varireal.prompts.templates import Sentence


class SmallMemory:
    """A UNet's pass that fails like a card's allocator where a batch has more pictures than fit."""

    def __init__(self, unet: Any, fits: int, error: type[Exception], message: str) -> None:
        self._forward, self._fits, self._error, self._message = unet.forward, fits, error, message
        self.sizes: list[int] = []

    def __call__(self, sample: Any, *args: Any, **kwargs: Any) -> Any:
        count = len(sample) // 2  # guidance sees every picture twice
        self.sizes.append(count)
        if count > self._fits:
            raise self._error(self._message)
        return self._forward(sample, *args, **kwargs)


@pytest.fixture
def compute() -> ComputeConfig:
    return ComputeConfig(device="cpu")


@pytest.fixture
def given() -> dict[str, Any]:
    rng, mask = np.random.default_rng(1), np.zeros((SIDE, SIDE), bool)
    mask[4:20, 8:28] = True
    return {
        "pictures": list(rng.integers(0, 256, (5, SIDE, SIDE, 3), dtype=np.uint8)),
        "masks": [mask] * 5,
        "sentences": [Sentence(f"a photo of jet {number}") for number in range(5)],
        "seeds": [100 + number for number in range(5)],
    }


def limited(inpainter: Inpainter, monkeypatch: pytest.MonkeyPatch, fits: int, error: type[Exception], message: str):
    unet = inpainter._pipeline.pipe.unet
    memory = SmallMemory(unet, fits, error, message)
    monkeypatch.setattr(unet, "forward", memory)
    return memory


def out_of_memory() -> list[tuple[type[Exception], str]]:
    import torch

    return [(torch.OutOfMemoryError, "CUDA out of memory."), (RuntimeError, "MPS backend out of memory (9 GB)")]


@pytest.mark.parametrize("kind", [0, 1], ids=["cuda", "mps"])
def test_halved_batches_give_the_same_pictures(kind, given, tiny_sdxl_inpaint, compute, monkeypatch, caplog) -> None:
    inpainter = Inpainter(InpaintConfig(checkpoint=str(tiny_sdxl_inpaint)), compute)
    whole = inpainter.paint(**given, **SETTINGS)
    memory = limited(inpainter, monkeypatch, 2, *out_of_memory()[kind])
    with caplog.at_level(logging.WARNING, "varireal.networks.memory"):
        parts = inpainter.paint(**given, **SETTINGS)
    for one, other in zip(whole, parts):
        assert np.abs(one.astype(int) - other).max() <= 1  # the last bits: batches of other sizes
    assert memory.sizes == [5, 3, 2, 2, 2, 2, 1, 1]  # the whole, its half, then two steps of each part
    start = "edit.inpaint: the device's memory does not hold "
    told = [record.getMessage().removeprefix(start) for record in caplog.records]
    assert told == [
        "5 of the pictures of 32 pixels; going on with 3 at a time",
        "3 of the pictures of 32 pixels; going on with 2 at a time",
    ]
    memory.sizes.clear()
    again = inpainter.paint(**given, **SETTINGS)
    assert memory.sizes == [2, 2, 2, 2, 1, 1]  # what failed once is not tried again
    assert all(np.array_equal(one, other) for one, other in zip(parts, again))


@pytest.mark.parametrize("kind", [0, 1], ids=["cuda", "mps"])
def test_a_picture_that_does_not_fit_alone_is_one_line_with_remedies(
    kind, given, tiny_sdxl_inpaint, compute, monkeypatch
) -> None:
    inpainter = Inpainter(InpaintConfig(checkpoint=str(tiny_sdxl_inpaint)), compute)
    memory = limited(inpainter, monkeypatch, 0, *out_of_memory()[kind])
    with pytest.raises(
        UserError, match=r"^edit\.inpaint: .* even one of the pictures of 32 pixels; set edit\.memory\.offload"
    ) as error:
        inpainter.paint(**given, **SETTINGS)
    assert memory.sizes == [5, 3, 2, 1]
    assert "\n" not in str(error.value) and "models=sd15" in str(error.value)


@pytest.mark.parametrize("kind", ["prior", "inpaint"])
def test_a_decoder_that_ran_out_of_memory_in_float16_is_put_back(
    kind, given, tiny_sdxl_base, tiny_sdxl_inpaint, monkeypatch
) -> None:
    """SDXL's own autoencoder works in float32 while it decodes; left so, it fails at the next call's float16."""
    import torch
    from diffusers.models.autoencoders.vae import Decoder

    compute = ComputeConfig(device="cpu", dtype="float16")
    if kind == "prior":
        config = PriorConfig(
            source="text_to_image", checkpoint=str(tiny_sdxl_base), image_size=SIDE, num_inference_steps=2
        )
        maker = PictureMaker(config, compute, 4)
        pipe, draw = maker._pipeline.pipe, functools.partial(maker.make, given["sentences"][:4], given["seeds"][:4])
    else:
        inpainter = Inpainter(InpaintConfig(checkpoint=str(tiny_sdxl_inpaint), image_size=SIDE), compute)
        four = {name: values[:4] for name, values in given.items()}
        pipe, draw = inpainter._pipeline.pipe, functools.partial(inpainter.paint, **four, **SETTINGS)
    assert pipe.vae.config.force_upcast and pipe.vae.dtype == torch.float16
    whole, forward, sizes, freed = draw(), Decoder.forward, [], []

    def full_once(self, sample, *args, **kwargs):
        sizes.append(len(sample))
        if len(sizes) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory. (simulated)")
        return forward(self, sample, *args, **kwargs)

    monkeypatch.setattr(Decoder, "forward", full_once)
    monkeypatch.setattr(pipe, "maybe_free_model_hooks", lambda: freed.append(pipe.vae.dtype))
    parts = draw()
    assert sizes == [4, 2, 2] and pipe.vae.dtype == torch.float16
    assert freed[0] == torch.float16  # offloaded networks leave the device before the next try
    for one, other in zip(whole, parts):
        assert np.abs(one.astype(int) - other).max() <= 3  # half precision, in batches of other sizes


def test_other_failures_are_not_taken_for_a_full_memory(given, tiny_sdxl_inpaint, compute, monkeypatch) -> None:
    inpainter = Inpainter(InpaintConfig(checkpoint=str(tiny_sdxl_inpaint)), compute)
    memory = limited(inpainter, monkeypatch, 0, RuntimeError, "sizes do not match")
    with pytest.raises(RuntimeError, match="sizes do not match"):
        inpainter.paint(**given, **SETTINGS)
    assert memory.sizes == [5]


@pytest.mark.parametrize(("count", "fits"), [(1, 1), (7, 1), (8, 3), (11, 4), (4, 9)])
def test_every_place_is_drawn_once_and_in_order(count: int, fits: int) -> None:
    import torch

    tried: list[int] = []

    def draw(part):
        tried.append(len(part))
        if len(part) > fits:
            raise torch.OutOfMemoryError
        return [place * place for place in part]

    places = list(range(100, 100 + count))
    assert Fitting("edit.refine", "buy more").run(draw, places, "pictures") == [place * place for place in places]
    assert tried == sorted(tried, reverse=True)  # no size is tried after a smaller one, but for the last part
    failed = [size for size in tried if size > fits]
    assert len(failed) == len(set(failed))
