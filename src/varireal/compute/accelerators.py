"""Telling apart what an accelerator may fail with: an error of one call, or one after which nothing works any more."""

from __future__ import annotations

import re
import sys

# what torch, CUDA, ROCm, Apple's MPS and their drivers say when a device or its context in this process is done for
_BROKEN = re.compile(
    r"CUDA (driver )?error|CUDNN_STATUS_(EXECUTION_FAILED|INTERNAL_ERROR|NOT_INITIALIZED)|CUBLAS_STATUS_|NCCL [eE]rror"
    r"|device-side assert|illegal (memory access|instruction)|unspecified launch failure|uncorrectable .*ECC|\bXid\b"
    r"|HIP error|hipError|MPS (backend|device) (error|lost)|command buffer execution failed|device (lost|removed)"
)


def is_broken(error: BaseException) -> bool:
    """Tell whether an error says that its process can use its accelerator no longer.

    Memory that is merely full is no such error: smaller batches may still fit.
    """
    return any(_breaks(each) for each in _with_causes(error))


def _breaks(error: BaseException) -> bool:
    if not isinstance(error, RuntimeError) or "out of memory" in str(error).lower():
        return False
    torch = sys.modules.get("torch")  # without it nothing can have raised its errors
    kind = getattr(torch, "AcceleratorError", None)
    return (kind is not None and isinstance(error, kind)) or _BROKEN.search(str(error)) is not None


def _with_causes(error: BaseException | None) -> list[BaseException]:
    """Return an error and those that it was raised from."""
    chain: list[BaseException] = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return chain
