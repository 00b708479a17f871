"""Schedulers, low-rank weights and memory settings of pipelines: what they do, and what is said of wrong ones."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.editing.test_inpaint import SETTINGS, inputs
from tests.editing.tiny_pipelines import SIDE, save_lora, save_pipeline

from varireal.config import ComputeConfig, InpaintConfig, MemoryConfig
from varireal.editing.inpaint import Inpainter
from varireal.errors import UserError

LORA = "pytorch_lora_weights.safetensors"
RANK, ALPHA = 2, 1.0  # of the tiny LoRA


@pytest.fixture(scope="module")
def lora(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    """Folders with low-rank weights for inpainting pipelines, by whether they are XL."""
    return {xl: save_lora(tmp_path_factory.mktemp("lora"), LORA, xl) for xl in (True, False)}


def inpainter(folder: Path, memory: MemoryConfig | None = None, dtype: str = "float32", **settings: Any) -> Inpainter:
    compute = ComputeConfig(device="cpu", dtype=dtype)
    return Inpainter(InpaintConfig(checkpoint=str(folder), **settings), compute, memory or MemoryConfig())


def pipe(folder: Path, memory: MemoryConfig | None = None, **settings: Any) -> Any:
    return inpainter(folder, memory, **settings)._pipeline.pipe


def one_line(error: pytest.ExceptionInfo[UserError]) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


# --- schedulers ---


def test_an_asked_scheduler_takes_over_the_checkpoint_s_settings(tmp_path) -> None:
    from diffusers import EulerDiscreteScheduler

    own = EulerDiscreteScheduler(
        beta_start=0.001, beta_end=0.02, beta_schedule="scaled_linear", steps_offset=1, timestep_spacing="leading"
    )
    folder = save_pipeline(tmp_path / "euler", xl=True, inpaint=True, scheduler=own)
    kept, lcm = pipe(folder).scheduler, pipe(folder, scheduler="LCMScheduler").scheduler
    assert (type(kept).__name__, type(lcm).__name__) == ("EulerDiscreteScheduler", "LCMScheduler")
    for name in ("beta_start", "beta_end", "beta_schedule", "steps_offset", "timestep_spacing"):
        assert lcm.config[name] == own.config[name]
    spaced = pipe(folder, timestep_spacing="trailing").scheduler
    assert type(spaced) is type(kept) and spaced.config.timestep_spacing == "trailing"
    pictures = {
        inpainter(folder, **settings).paint(**inputs(1), **SETTINGS)[0].tobytes()
        for settings in ({}, {"scheduler": "LCMScheduler"}, {"timestep_spacing": "trailing"})
    }
    assert len(pictures) == 3


def test_a_scheduler_that_does_not_take_the_settings_is_one_line(tmp_path) -> None:
    from diffusers import DDPMScheduler

    folder = save_pipeline(tmp_path / "ddpm", xl=False, inpaint=True, scheduler=DDPMScheduler(beta_schedule="sigmoid"))
    message = r"^edit\.inpaint\.scheduler = 'EulerDiscreteScheduler' .* DDPMScheduler"
    with pytest.raises(UserError, match=message) as error:
        pipe(folder, scheduler="EulerDiscreteScheduler")
    assert one_line(error).endswith("choose another one")


def test_an_unknown_scheduler_is_refused_with_the_names_that_are_known() -> None:
    with pytest.raises(ValueError, match="LCMScheduler"):
        InpaintConfig(checkpoint="x", scheduler="Euler")


# --- low-rank weights ---


def weights(pipeline: Any) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in pipeline.unet.state_dict().items()}


@pytest.mark.parametrize("xl", [True, False])
def test_low_rank_weights_are_added_for_good(xl, lora, request) -> None:
    """W + scale (alpha / rank) up down, for the layers that the file names, under their plain names."""
    from safetensors.numpy import load_file

    folder = request.getfixturevalue("tiny_sdxl_inpaint" if xl else "tiny_sd_inpaint")
    given = {"checkpoint": str(lora[xl]), "weight_name": LORA, "scale": 0.7}
    before, after = weights(pipe(folder)), weights(pipe(folder, lora=given))
    assert set(after) == set(before)
    low_rank = load_file(lora[xl] / LORA)
    touched = 0
    for name, old in before.items():
        key = f"lora_unet_{name.removesuffix('.weight').replace('.', '_')}"
        delta = 0.0
        if f"{key}.lora_down.weight" in low_rank:
            touched += 1
            up, down = low_rank[f"{key}.lora_up.weight"], low_rank[f"{key}.lora_down.weight"]
            product = up.reshape(len(up), RANK) @ down.reshape(RANK, -1)  # of convolutions, up has no extent
            delta = 0.7 * low_rank[f"{key}.alpha"] / RANK * product.reshape(old.shape)
            assert np.abs(delta).max() > 0.01
        np.testing.assert_allclose(after[name], old + delta, atol=1e-6)
    assert touched == len(low_rank) / 3 > 20


def test_pictures_and_identity_follow_the_low_rank_weights(tiny_sdxl_inpaint, lora, tmp_path) -> None:
    def made(folder: Path | None, **settings: Any) -> tuple[bytes, str]:
        given = {"lora": {"checkpoint": str(folder), "weight_name": LORA, **settings}} if folder else {}
        painter = inpainter(tiny_sdxl_inpaint, **given)
        return painter.paint(**inputs(1), **SETTINGS)[0].tobytes(), json.dumps(painter.identity, sort_keys=True)

    other = save_lora(tmp_path / "other", LORA, xl=True)
    (other / "README.md").write_text("other weights of the same folder")
    results = [made(None), made(lora[True]), made(lora[True], scale=0.5), made(other)]
    pictures, identities = zip(*results)
    assert len(set(identities)) == 4
    assert len(set(pictures)) == 3 and pictures[1] == pictures[3]


def test_low_rank_weights_of_another_family_are_one_line(tiny_sdxl_inpaint, lora) -> None:
    with pytest.raises(UserError, match=r"^edit\.inpaint\.lora\.checkpoint = .* cannot be loaded") as error:
        pipe(tiny_sdxl_inpaint, lora={"checkpoint": str(lora[False]), "weight_name": LORA})
    assert "LoRA weights for edit.inpaint.checkpoint" in one_line(error)


def test_low_rank_weights_without_a_unet_are_one_line(tiny_sdxl_inpaint, tmp_path) -> None:
    import torch
    from safetensors.torch import save_file

    layer = "text_encoder.text_model.encoder.layers.0.self_attn.q_proj"
    state = {f"{layer}.lora_A.weight": torch.randn(2, 32), f"{layer}.lora_B.weight": torch.randn(32, 2)}
    save_file(state, tmp_path / LORA)
    message = r"^edit\.inpaint\.lora\.checkpoint = .* holds nothing for edit\.inpaint's UNet"
    with pytest.raises(UserError, match=message) as error:
        pipe(tiny_sdxl_inpaint, lora={"checkpoint": str(tmp_path), "weight_name": LORA})
    one_line(error)


def test_a_missing_file_of_low_rank_weights_is_noticed_before_anything_is_loaded(tiny_sdxl_inpaint, lora) -> None:
    message = r"edit\.inpaint\.lora\.weight_name = 'no\.safetensors': there is no file"
    with pytest.raises(UserError, match=message) as error:
        inpainter(tiny_sdxl_inpaint, lora={"checkpoint": str(lora[True]), "weight_name": "no.safetensors"})
    one_line(error)
    with pytest.raises(ValueError, match="needs weight_name too"):
        InpaintConfig(checkpoint="x", lora={"checkpoint": str(lora[True])})


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder", "lora"])
def test_damaged_weights_are_one_line(part, tiny_sdxl_inpaint, lora, tmp_path) -> None:
    pipeline = Path(shutil.copytree(tiny_sdxl_inpaint, tmp_path / "pipeline"))
    low_rank = Path(shutil.copytree(lora[True], tmp_path / "lora"))
    file = low_rank / LORA if part == "lora" else next((pipeline / part).glob("*.safetensors"))
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(UserError, match="cannot be loaded") as error:
        pipe(pipeline, lora={"checkpoint": str(low_rank), "weight_name": LORA})
    one_line(error)


# --- memory settings ---


def painted(folder: Path, memory: MemoryConfig, size: int = SIDE, count: int = 2) -> list[np.ndarray]:
    rng, mask = np.random.default_rng(0), np.zeros((size, size), bool)
    mask[size // 4 : -size // 4, size // 4 : -size // 4] = True
    given = inputs(count) | {
        "pictures": list(rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8)), "masks": [mask] * count,
    }  # fmt: skip
    return inpainter(folder, memory, image_size=size).paint(**given, **SETTINGS)


def counted(monkeypatch: pytest.MonkeyPatch, part: str) -> list[tuple[int, ...]]:
    """Note the shape of everything that goes through the autoencoder's encoder or decoder."""
    from diffusers.models.autoencoders import vae

    shapes, forward = [], getattr(vae, part).forward
    monkeypatch.setattr(
        getattr(vae, part), "forward", lambda self, x, *rest: shapes.append(tuple(x.shape)) or forward(self, x, *rest)
    )
    return shapes


@pytest.mark.parametrize("family", ["tiny_sdxl_inpaint", "tiny_sd_inpaint"])
def test_slicing_sends_pictures_through_the_autoencoder_one_by_one(family, request, monkeypatch) -> None:
    folder = request.getfixturevalue(family)
    plain = painted(folder, MemoryConfig())
    shapes = counted(monkeypatch, "Decoder")
    sliced = painted(folder, MemoryConfig(vae_slicing=True))
    assert shapes == [(1, 4, SIDE // 2, SIDE // 2)] * 2
    assert all(np.abs(one.astype(int) - other).max() <= 1 for one, other in zip(plain, sliced))


def test_tiles_are_of_the_asked_size_and_change_only_larger_pictures(tiny_sdxl_inpaint, monkeypatch) -> None:
    plain, tiled = (painted(tiny_sdxl_inpaint, MemoryConfig(vae_tile=tile)) for tile in (None, SIDE))
    assert all(np.array_equal(one, other) for one, other in zip(plain, tiled))
    plain = painted(tiny_sdxl_inpaint, MemoryConfig(), 2 * SIDE, 1)
    decoded, encoded = counted(monkeypatch, "Decoder"), counted(monkeypatch, "Encoder")
    tiled = painted(tiny_sdxl_inpaint, MemoryConfig(vae_tile=SIDE), 2 * SIDE, 1)
    # 64 pixels are 32 of the latents; tiles of 16 overlap by a quarter, so they begin at 0, 12 and 24
    sides = [16, 16, 8]
    assert decoded == [(1, 4, height, width) for height in sides for width in sides]
    assert {shape[-1] for shape in encoded} == {32, 16}  # in pixels
    difference = np.abs(plain[0].astype(int) - tiled[0])
    assert 0 < difference.mean() < 20


def test_no_module_is_asked_for_the_device_that_is_known(tiny_sdxl_inpaint, monkeypatch) -> None:
    from diffusers.hooks import group_offloading

    loaded = pipe(tiny_sdxl_inpaint)
    kind = type(loaded).__mro__[1]
    assert type(loaded).__name__ == kind.__name__ == "StableDiffusionXLInpaintPipeline"
    assert loaded._execution_device == kind._execution_device.fget(loaded)  # what diffusers' own search finds

    searched: list[str] = []
    search = group_offloading._get_group_onload_device
    monkeypatch.setattr(
        group_offloading, "_get_group_onload_device", lambda part: searched.append(type(part).__name__) or search(part)
    )
    kind._execution_device.fget(loaded)
    assert "UNet2DConditionModel" in searched
    searched.clear()
    assert len(painted(tiny_sdxl_inpaint, MemoryConfig(), count=1)) == 1
    assert "UNet2DConditionModel" not in searched


def test_a_compiled_network_paints_the_same(tiny_sdxl_inpaint, monkeypatch) -> None:
    """Traced, the UNet ahead of time; the code generator is left out, which takes minutes."""
    from torch import nn

    compiled, compile_module = [], nn.Module.compile

    def trace(module: nn.Module) -> None:
        compile_module(module, backend="eager" if compiled else "aot_eager")
        compiled.append(module)

    monkeypatch.setattr(nn.Module, "compile", trace)
    plain = painted(tiny_sdxl_inpaint, MemoryConfig(), count=1)
    assert not compiled
    traced = painted(tiny_sdxl_inpaint, MemoryConfig(compile=True), count=1)
    assert [type(module).__name__ for module in compiled] == ["UNet2DConditionModel", "Encoder", "Decoder"]
    assert np.abs(plain[0].astype(int) - traced[0]).max() <= 1


def test_offloading_from_the_cpu_is_refused_before_anything_is_loaded(tiny_sdxl_inpaint, monkeypatch) -> None:
    monkeypatch.setattr("varireal.editing.pipelines.load_pipeline", lambda *_: pytest.fail("networks were loaded"))
    with pytest.raises(UserError, match=r"^edit\.memory\.offload is true, but the networks run on the CPU") as error:
        pipe(tiny_sdxl_inpaint, MemoryConfig(offload=True))
    assert "compute.device" in one_line(error)


def test_networks_that_the_device_does_not_hold_are_one_line(tiny_sdxl_inpaint, monkeypatch) -> None:
    import torch
    from diffusers import DiffusionPipeline

    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.\nMore lines")

    monkeypatch.setattr(DiffusionPipeline, "to", full)
    with pytest.raises(UserError, match=r"^edit\.inpaint: .* memory does not hold the networks") as error:
        pipe(tiny_sdxl_inpaint)
    assert "edit.memory.offload" in one_line(error)


def test_the_identity_names_what_can_change_a_pixel(tiny_sdxl_inpaint) -> None:
    def identity(**memory: Any) -> str:
        return json.dumps(inpainter(tiny_sdxl_inpaint, MemoryConfig(**memory)).identity, sort_keys=True)

    plain = identity()
    assert identity(offload=True) == plain
    changed = {identity(vae_tile=16), identity(vae_tile=32), identity(vae_slicing=True), identity(compile=True)}
    assert len(changed | {plain}) == 5


@pytest.mark.parametrize("family", ["tiny_sdxl_inpaint", "tiny_sd_inpaint"])
def test_half_precision_paints_nearly_the_same(family, request) -> None:
    """float16 as on cards without bfloat16; XL's autoencoder then works in float32."""
    folder = request.getfixturevalue(family)
    dtypes = ("float32", "float16")
    [exact], [half] = (inpainter(folder, dtype=dtype).paint(**inputs(1), **SETTINGS) for dtype in dtypes)
    difference = np.abs(exact.astype(int) - half)
    assert 0 < difference.max() <= 12 and difference.mean() < 2


@pytest.mark.parametrize("family", ["tiny_sdxl_inpaint", "tiny_sd_inpaint"])
def test_offloaded_networks_paint_the_same(family, request, monkeypatch) -> None:
    """The hooks that bring networks to the GPU and back are told that it is the CPU, which they do not mind."""
    monkeypatch.setattr("varireal.editing.pipelines.check_memory", lambda *_: None)
    folder = request.getfixturevalue(family)
    given = inputs(2)
    given["sentences"][0] = dataclasses.replace(given["sentences"][0], emphasised="red", weight=1.3)
    plain, offloaded = (inpainter(folder, MemoryConfig(offload=offload)) for offload in (False, True))
    for _ in range(2):  # the hooks are taken off and put on again after every batch
        pictures = offloaded.paint(**given, **SETTINGS)
        assert all(np.array_equal(one, other) for one, other in zip(plain.paint(**given, **SETTINGS), pictures))
        hooks = offloaded._pipeline.pipe._all_hooks
        assert len(hooks) == (4 if family == "tiny_sdxl_inpaint" else 3)
        assert all(hasattr(hook.model, "_hf_hook") for hook in hooks)
    assert not hasattr(plain._pipeline.pipe, "_all_hooks") or not plain._pipeline.pipe._all_hooks
