"""The machine: torch, device, memory, cores, disk."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from varireal.compute.processes import available_cores
from varireal.doctor.finding import Finding, readable_bytes
from varireal.errors import UserError

if TYPE_CHECKING:
    import torch

    from varireal.config import ComputeConfig


def machine(compute: ComputeConfig, folder: Path) -> list[Finding]:
    """Look at the machine; free disk is that of ``folder``."""
    import psutil
    import torch

    from varireal.compute.devices import resolve_device

    memory = psutil.virtual_memory()
    free = shutil.disk_usage(folder).free
    cores = available_cores()
    findings = [
        Finding("machine", "torch", "ok", torch.__version__, values={"version": torch.__version__}),
        Finding("machine", "cores", "ok", str(cores), values={"cores": cores}),
        Finding(
            "machine",
            "memory",
            "ok",
            f"{readable_bytes(memory.available)} free of {readable_bytes(memory.total)}",
            values={"free_bytes": memory.available, "total_bytes": memory.total},
        ),
        Finding("machine", "disk", "ok", f"{readable_bytes(free)} free here", values={"free_bytes": free}),
    ]
    try:
        device = resolve_device(compute)
    except UserError as error:
        remedy = "set compute.device to auto, or to a device this machine has"
        return [*findings, Finding("machine", "device", "missing", str(error), remedy)]
    return [*findings, *_device(device, compute.dtype)]


def _device(device: torch.device, dtype: str) -> list[Finding]:
    import torch

    if device.type != "cuda":
        half = "" if dtype == "float32" else f"; {dtype} is slow on many processors"
        return [Finding("machine", "device", "ok", f"{device}, {dtype}{half}", values={"device": str(device)})]
    properties = torch.cuda.get_device_properties(device)
    free, total = torch.cuda.mem_get_info(device)
    bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
    found = (
        f"{properties.name}, {readable_bytes(free)} free of {readable_bytes(total)}, "
        f"bf16 {'in hardware' if bf16 else 'not in hardware'}, set to {dtype}"
    )
    values = {"device": str(device), "name": properties.name, "free_bytes": free, "total_bytes": total, "bf16": bf16}
    if dtype == "bfloat16" and not bf16:
        return [Finding("machine", "device", "note", found, "set compute.dtype to float16", values)]
    return [Finding("machine", "device", "ok", found, values=values)]
