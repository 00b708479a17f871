"""Where networks run and in which numbers, from the compute section of params.yaml."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from varireal.compute.accelerators import why_unusable
from varireal.errors import UserError

if TYPE_CHECKING:
    import torch

    from varireal.config import ComputeConfig

DRIVERS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")  # of NVIDIA's, AMD's and WSL's GPUs


def device_type(compute: ComputeConfig) -> str:
    """Return the kind of device alone, such as ``cuda``; one that is named need not be in this machine.

    Raises:
        UserError: the device is ``auto`` and cannot be used, as for :func:`resolve_device`.
    """
    return resolve_device(compute).type if compute.device == "auto" else compute.device.partition(":")[0]


def resolve_device(compute: ComputeConfig) -> torch.device:
    """Return the asked device; ``auto`` takes CUDA, then MPS, then the CPU.

    Raises:
        UserError: the device's name is wrong or this machine has no such device; or ``compute.require_accelerator`` is
            set, the device is not named as the CPU, and torch can use no accelerator here.
    """
    import torch

    if compute.require_accelerator and compute.device != "cpu" and (reason := why_unusable(compute.device)) is not None:
        raise UserError(
            f"compute.device is {compute.device} and compute.require_accelerator true, but {reason}; docs/full_size.md "
            "says which cards and drivers go with which torch: change one of them, or set compute.device to cpu"
        )
    if compute.device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(compute.device)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(
            f"compute.device = {compute.device!r} cannot be used here ({str(error).splitlines()[0]}); "
            "use auto, cpu, or a device this machine has"
        ) from error
    return device


def settle_algorithms(compute: ComputeConfig) -> None:
    """Have CUDA compute with the same bits at every run, if ``compute.deterministic`` asks for it.

    It must be called before a process first uses CUDA: cuBLAS reads its workspace from the environment then.
    """
    if not compute.deterministic:
        return
    import torch

    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False  # of matrix products torch has it off


def is_surely_cpu(compute: ComputeConfig) -> bool:
    """Return whether networks run on the CPU, if that can be told without importing torch; otherwise false."""
    if compute.device == "auto":
        return sys.platform == "linux" and not any(Path(each).exists() for each in DRIVERS)
    return compute.device == "cpu"


def resolve_dtype(compute: ComputeConfig) -> torch.dtype:
    """Return the torch dtype that networks are loaded in."""
    import torch

    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[compute.dtype]


def visible_gpus() -> list[str]:
    """Return the names of the GPUs that CUDA may use, as CUDA_VISIBLE_DEVICES has them."""
    import torch

    if names := os.environ.get("CUDA_VISIBLE_DEVICES"):
        return names.split(",")
    return [str(number) for number in range(torch.cuda.device_count())]
