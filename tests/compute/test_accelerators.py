"""Which errors mean that a process can use its accelerator no longer."""

from __future__ import annotations

import pytest

from varireal.compute import accelerators
from varireal.compute.accelerators import has_kernels, is_broken, why_unusable
from varireal.compute.devices import resolve_device
from varireal.compute.engines.local import LocalEngine, attempt
from varireal.config import ComputeConfig
from varireal.errors import UserError


@pytest.mark.parametrize(
    "message",
    [
        "CUDA error: an illegal memory access was encountered",
        "CUDA error: device-side assert triggered",
        "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx( handle, opa)`",
        "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED",
        "CUDA driver error: unknown error",
        "uncorrectable ECC error encountered",
        "NVRM: Xid (PCI:0000:3b:00): 79, GPU has fallen off the bus",
        "HIP error: unspecified launch failure",
        "MPS backend error: the command buffer was not executed",
    ],
)
def test_errors_of_a_device_or_its_context_break_a_process(message: str) -> None:
    assert is_broken(RuntimeError(message))


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("MPS backend out of memory (9 GB)"),
        RuntimeError("The size of tensor a (4) must match the size of tensor b (3)"),
        ValueError("CUDA error: these words in an error that torch does not raise"),
        ZeroDivisionError("a defect"),
    ],
)
def test_other_errors_do_not(error: Exception) -> None:
    assert not is_broken(error)


def test_torchs_own_class_counts_whatever_it_says_unless_memory_is_full() -> None:
    import torch

    assert is_broken(torch.AcceleratorError("something new"))
    assert not is_broken(torch.AcceleratorError("CUDA error: out of memory"))
    assert not is_broken(torch.OutOfMemoryError("CUDA out of memory."))


def test_what_an_error_was_raised_from_counts_too() -> None:
    def worker(items: object) -> list[object]:
        try:
            raise RuntimeError("CUDA error: device-side assert triggered")
        except RuntimeError as error:
            raise ValueError("the picture could not be decoded") from error

    lost = attempt(worker, [1])
    assert not isinstance(lost, list | UserError) and lost.broken


REQUIRED = ComputeConfig(require_accelerator=True)
CUDA_13 = ["sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120"]  # what torch 2.14.1+cu130 says of itself


@pytest.fixture
def no_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this machine has, torch can use none of it, and the driver is an old one."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    monkeypatch.setattr(accelerators, "_driver_words", lambda: "nvidia-smi: driver, card, capability: 470.82, A10, 8.6")


def test_auto_takes_no_cpu_where_an_accelerator_is_required(no_accelerator: None) -> None:
    import torch

    with pytest.raises(UserError) as error:
        LocalEngine(REQUIRED, ("torch",)).device()
    told = str(error.value)
    assert "\n" not in told and f"torch {torch.__version__}" in told and "470.82" in told
    assert (torch.version.cuda or "CPU alone") in told and "compute.device to cpu" in told


def test_the_cpu_is_taken_by_name_or_where_nothing_is_required(no_accelerator: None) -> None:
    assert str(resolve_device(REQUIRED.model_copy(update={"device": "cpu"}))) == "cpu"
    assert str(resolve_device(ComputeConfig())) == "cpu"


def test_a_card_without_kernels_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for a V100 beside a wheel for CUDA 13: `is_available` says yes, and the first kernel would fail."""
    fakes = {"is_available": True, "device_count": 1, "get_device_capability": (7, 0), "get_arch_list": CUDA_13}
    for name, value in {**fakes, "get_device_name": "Tesla V100"}.items():
        monkeypatch.setattr(f"torch.cuda.{name}", lambda *_, value=value: value)
    with pytest.raises(UserError, match=r"no kernels for Tesla V100, whose capability is 7\.0, but for sm_75"):
        resolve_device(REQUIRED)
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda *_: (8, 9))
    assert str(resolve_device(REQUIRED)) == "cuda"


@pytest.fixture
def old_and_new(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for a V100 and an A100 beside a wheel for CUDA 13."""
    capabilities, names = [(7, 0), (8, 0)], ["Tesla V100", "A100"]
    for name, value in {"is_available": True, "device_count": 2, "get_arch_list": CUDA_13}.items():
        monkeypatch.setattr(f"torch.cuda.{name}", lambda *_, value=value: value)
    monkeypatch.setattr("torch.cuda.get_device_capability", capabilities.__getitem__)
    monkeypatch.setattr("torch.cuda.get_device_name", names.__getitem__)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    monkeypatch.setattr(accelerators, "_driver_words", lambda: "nvidia-smi does not answer")


def test_a_named_card_is_the_only_one_that_has_to_fit(old_and_new: None) -> None:
    assert why_unusable("cuda:1") is None
    assert "no kernels for Tesla V100" in str(why_unusable("cuda:0"))
    for all_of_them in ("auto", "cuda"):  # each gets a worker
        assert "no kernels for Tesla V100" in str(why_unusable(all_of_them))
    assert why_unusable("cuda:2") is None  # torch itself says that there is none


@pytest.mark.parametrize("device", ["auto", "cuda", "cuda:0"])
def test_a_card_that_is_too_old_beside_others_can_be_hidden(old_and_new: None, device: str) -> None:
    with pytest.raises(
        UserError, match=r"V100.*CUDA_VISIBLE_DEVICES without card 0, or compute\.device to cuda:1"
    ) as error:
        resolve_device(REQUIRED.model_copy(update={"device": device}))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("capability", "architectures", "runs"),
    [
        ((7, 0), CUDA_13, False),  # V100
        ((6, 1), CUDA_13, False),  # Pascal
        ((7, 5), CUDA_13, True),  # T4
        ((8, 9), CUDA_13, True),  # L4: code of 8.6 runs
        ((12, 1), CUDA_13, True),
        ((11, 0), CUDA_13, False),
        ((11, 0), [*CUDA_13, "compute_90"], True),  # the driver compiles for newer cards
        ((9, 0), ["sm_90a"], True),
        ((9, 4), ["gfx942"], True),  # AMD's names say nothing
        ((8, 0), [], True),
    ],
)
def test_which_cards_run_what_torch_was_built_for(capability: tuple, architectures: list[str], runs: bool) -> None:
    assert has_kernels(capability, architectures) == runs


def test_the_driver_is_asked_and_may_be_absent_or_broken(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "nvidia-smi is not there" in accelerators._driver_words()
    tool = tmp_path / "nvidia-smi"
    for script, words in (
        ("echo '535.54, Tesla T4, 7.5'", "driver, card, capability: 535.54, Tesla T4, 7.5"),
        ('echo "couldn\'t communicate with the driver"; exit 9', "nvidia-smi: couldn't communicate with the driver"),
    ):
        tool.write_text(f"#!/bin/sh\n{script}\n")
        tool.chmod(0o755)
        assert words in accelerators._driver_words()
