"""What the doctor looks at: the machine, the checkpoints, the data set and the prompts, without writing anything."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from varireal.base.manifest import SPLITS
from varireal.compute.devices import resolve_device
from varireal.compute.processes import available_cores
from varireal.datasets import open_dataset
from varireal.datasets.preparation import check_classes
from varireal.doctor.checkpoints import look_for, used_checkpoints
from varireal.doctor.doubts import doubts, expected_power
from varireal.doctor.findings import Finding, readable_bytes
from varireal.doctor.hub import Hub
from varireal.doctor.inputs import look_at_masks, look_at_networks, look_at_pictures, without_masks
from varireal.doctor.stated import hours_finding, published_photos
from varireal.doctor.workload import Workload, count_workload, workload_findings
from varireal.errors import UserError
from varireal.prompts import SOURCES

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from varireal.config import ComputeConfig, Params
    from varireal.datasets.base import Dataset, Photo
    from varireal.prompts import PromptTable

SPARE = 1.1  # free disk that downloads should leave, as a factor


@dataclasses.dataclass(frozen=True)
class Examination:
    """All findings; the data set and the workload, where there is a data set."""

    findings: list[Finding]
    dataset: Dataset | None
    work: Workload | None

    @property
    def missing(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.status == "missing"]

    def with_findings(self, more: Sequence[Finding]) -> Examination:
        """Return the same examination with further findings behind its own."""
        return dataclasses.replace(self, findings=[*self.findings, *more])


def examine(params: Params, folder: Path) -> Examination:
    """Look at everything that a run with these settings needs."""
    findings = look_at_machine(params.compute, folder)
    hub = Hub()
    checkpoints = [look_for(named, hub) for named in used_checkpoints(params)]
    findings += [*checkpoints, *_room_for_downloads(checkpoints)]
    finding, dataset, listed = look_at_dataset(params)
    findings.append(finding)
    if dataset is None:
        return Examination([*findings, *_published_hours(params), *doubts(params)], None, None)
    findings += [*look_at_masks(params, dataset, listed), *look_at_networks(params, dataset.classes)]
    photos = dict(Counter(photo.split for photo in listed))
    unmasked = without_masks(params, listed)
    work = count_workload(params, photos, unmasked)
    prompts, table = look_at_prompts(params, dataset.classes)
    findings += [prompts, *(look_at_pictures(params, table) if table else []), *workload_findings(work)]
    if params.compute.require_accelerator:
        findings.append(hours_finding(params, photos, len(dataset.classes), unmasked))
    findings += [expected_power(params, photos), *doubts(params)]
    return Examination(findings, dataset, work)


def _published_hours(params: Params) -> list[Finding]:
    """Return the hours of a full-size run on a published data set that is not here yet."""
    published = published_photos(params.dataset)
    if published is None or not params.compute.require_accelerator:
        return []
    classes, photos = published
    return [hours_finding(params, photos, classes)]


def _room_for_downloads(checkpoints: Sequence[Finding]) -> list[Finding]:
    """Compare what would be downloaded with the free disk of the hub's cache."""
    from huggingface_hub import constants

    downloads = [finding for finding in checkpoints if "download_bytes" in finding.values]
    sizes = {finding.found: finding.values["download_bytes"] for finding in downloads}  # each checkpoint once
    if not sizes:
        return []
    size = sum(sizes.values())
    cache = Path(constants.HF_HUB_CACHE)
    there = next(path for path in (cache, *cache.parents) if path.exists())
    free = shutil.disk_usage(there).free
    words = f"{readable_bytes(size)} to download into {cache}, {readable_bytes(free)} free there"
    values = {"download_bytes": size, "free_bytes": free}
    if size * SPARE > free:
        return [Finding("checkpoints", "room", "missing", words, "free some, or set HF_HOME to a larger disk", values)]
    return [Finding("checkpoints", "room", "ok", words, values=values)]


def look_at_machine(compute: ComputeConfig, folder: Path) -> list[Finding]:
    """Look at torch, cores, memory, disk and device; free disk is that of ``folder``."""
    import psutil
    import torch

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
        remedy = "set compute.device to a device this machine has; docs/full_size.md says what cards ask for"
        return [*findings, Finding("machine", "device", "missing", str(error), remedy)]
    return [*findings, *_look_at_device(device, compute.dtype)]


def _look_at_device(device: torch.device, dtype: str) -> list[Finding]:
    import torch

    if device.type != "cuda":
        half = "" if dtype == "float32" else f"; {dtype} is slow on many processors"
        return [Finding("machine", "device", "ok", f"{device}, {dtype}{half}", values={"device": str(device)})]
    properties = torch.cuda.get_device_properties(device)
    free, total = torch.cuda.mem_get_info(device)
    bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
    words = (
        f"{properties.name}, {readable_bytes(free)} free of {readable_bytes(total)}, "
        f"bf16 {'in hardware' if bf16 else 'not in hardware'}, set to {dtype}"
    )
    values = {"device": str(device), "name": properties.name, "free_bytes": free, "total_bytes": total, "bf16": bf16}
    if dtype == "bfloat16" and not bf16:
        return [Finding("machine", "device", "note", words, "set compute.dtype to float16", values)]
    return [Finding("machine", "device", "ok", words, values=values)]


def look_at_dataset(params: Params) -> tuple[Finding, Dataset | None, Sequence[Photo]]:
    """Return a finding, the data set if it is whole, and its photos.

    Photos are listed and compared as the data set's own checks do; only `prepare` opens each of them.
    """
    try:
        dataset = open_dataset(params.dataset, params.seed)
        listed = dataset.photos()
        check_classes(dataset)
    except UserError as error:
        if params.dataset.download:
            words = f"not whole in {params.dataset.root}; prepare will download what is missing ({error})"
            return Finding("data", params.dataset.name, "note", words), None, []
        return Finding("data", params.dataset.name, "missing", str(error), "as it says"), None, []
    counts = Counter(photo.split for photo in listed)
    photos = {split: counts[split] for split in SPLITS}
    if empty := [split for split, count in photos.items() if count == 0]:
        remedy = f"give it some (dataset.{empty[0]}_* in params.yaml)"
        words = f"no photo in the split {empty[0]}"
        return Finding("data", params.dataset.name, "missing", words, remedy, dict(photos)), None, []
    numbers = ", ".join(f"{count:,} {split}" for split, count in photos.items())
    masks = "" if dataset.has_masks else ", no masks"
    words = f"{len(dataset.classes)} classes; photos: {numbers}{masks}"
    values = {"classes": len(dataset.classes), **photos}
    return Finding("data", params.dataset.name, "ok", words, values=values), dataset, listed


def look_at_prompts(params: Params, classes: Sequence[str]) -> tuple[Finding, PromptTable | None]:
    """Say whether every class has the lists that the grid needs, or what a language model would be asked with.

    Returns:
        The finding, and the bank's lists where they are whole.
    """
    config = params.prompt
    if config.source == "openai":
        variable = config.llm.api_key_variable
        key = "" if os.environ.get(variable) else f"; {variable} is unset, so that no key is sent"
        words = f"asked for at {config.llm.base_url} with {config.llm.model} when the stage runs{key}"
        return Finding("prompts", "openai", "note", words), None
    if config.source == "transformers":
        return Finding("prompts", "transformers", "note", f"asked of {config.llm.model} when the stage runs"), None
    needed = dict.fromkeys(params.grid.attributes, params.grid.feasibilities)
    lists = config.bank if config.source == "bank" else "study"
    try:
        source = SOURCES[config.source](config, params.compute, params.seed)
        table = source.table(classes, params.dataset.domain_word, needed)
    except UserError as error:
        remedy = "complete the bank" if config.source == "bank" else "name a clone of the study's repository"
        return Finding("prompts", lists, "missing", str(error), remedy), None
    values = {attribute: len(table.all_specs(attribute)) for attribute in params.grid.attributes}
    listed = ", ".join(f"{count} {attribute} values" for attribute, count in values.items())
    words = f"complete for {len(classes)} classes: {listed}"
    return Finding("prompts", lists, "ok", words, values=values), table
