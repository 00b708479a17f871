"""What an accelerator may fail with: an error after which nothing works any more, a driver or a card too old."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence

ANSWERS_WITHIN = 20.0  # seconds for nvidia-smi; a broken driver may hold it up for good

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


def why_unusable(device: str = "auto") -> str | None:
    """Return why torch finds no accelerator here, or none whose kernels it has, in words; None: it can use one.

    Args:
        device: as ``compute.device`` has it. A card that is named with its number, such as ``cuda:0``, is looked at
            alone; without one each visible card gets a worker, so that all have to do.
    """
    import torch

    if torch.backends.mps.is_available():
        return None
    if not torch.cuda.is_available():
        return f"{_torch_words()} finds no accelerator here ({_driver_words()})"
    architectures, visible = torch.cuda.get_arch_list(), range(torch.cuda.device_count())
    unfit = [number for number in visible if not has_kernels(torch.cuda.get_device_capability(number), architectures)]
    _, _, named = device.partition(":")
    asked = [number for number in unfit if not named or named == str(number)]
    if not asked:
        return None
    major, minor = torch.cuda.get_device_capability(asked[0])
    words = (
        f"{_torch_words()} has no kernels for {torch.cuda.get_device_name(asked[0])}, whose capability is "
        f"{major}.{minor}, but for {' '.join(architectures)} ({_driver_words()})"
    )
    others = [number for number in visible if number not in unfit]
    if not others:
        return words
    cards = f"card{'s' * (len(unfit) > 1)} {', '.join(map(str, unfit))}"
    return (
        f"{words}; other cards here do: set CUDA_VISIBLE_DEVICES without {cards}, or compute.device to cuda:{others[0]}"
    )


def has_kernels(capability: tuple[int, int], architectures: Sequence[str]) -> bool:
    """Tell whether a card runs the code that torch was built for.

    Compiled code (``sm_86``) runs on cards of the same major number and at least that minor one; code that the driver
    compiles (``compute_90``) on all newer ones. Other names, such as those of AMD's cards, say nothing.
    """
    built = [re.fullmatch(r"(sm|compute)_(\d+)(\d)[a-z]?", name) for name in architectures]
    known = [(found[1], int(found[2]), int(found[3])) for found in built if found]
    return not known or any(
        (major == capability[0] and minor <= capability[1]) if kind == "sm" else (major, minor) <= capability
        for kind, major, minor in known
    )


def _torch_words() -> str:
    import torch

    built = "the CPU alone"
    if version := torch.version.cuda or torch.version.hip:
        built = f"{'CUDA' if torch.version.cuda else 'ROCm'} {version}"
    return f"torch {torch.__version__}, built for {built},"


def _driver_words() -> str:
    """Return what NVIDIA's driver says of itself and its cards."""
    query = ["nvidia-smi", "--query-gpu=driver_version,name,compute_cap", "--format=csv,noheader"]
    try:
        said = subprocess.run(query, capture_output=True, text=True, timeout=ANSWERS_WITHIN, check=False)
    except FileNotFoundError:
        return "nvidia-smi is not there: is NVIDIA's driver installed, and visible in this container?"
    except subprocess.TimeoutExpired:
        return "nvidia-smi does not answer"
    lines = "; ".join(line.strip() for line in (said.stdout or said.stderr).splitlines() if line.strip())
    return (
        f"nvidia-smi: driver, card, capability: {lines[:200]}" if said.returncode == 0 else f"nvidia-smi: {lines[:200]}"
    )
