"""Which errors mean that a process can use its accelerator no longer."""

from __future__ import annotations

import pytest

from varireal.compute.accelerators import is_broken
from varireal.compute.engines.local import attempt
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
