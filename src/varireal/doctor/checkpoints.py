"""Which checkpoints the configuration really uses, and whether each is here."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from varireal.config import IpAdapterConfig
from varireal.doctor.findings import Finding, readable_bytes
from varireal.doctor.hub import Hub, HubCheckpoint, cached_bytes
from varireal.editing import EDITORS
from varireal.editing.refine import image_encoder_path
from varireal.errors import UserError
from varireal.networks.checkpoints import check_checkpoint, check_file, check_variant, is_hub_id
from varireal.networks.clip import check_clip
from varireal.networks.clip_weights import HUB, LOCAL

if TYPE_CHECKING:
    from varireal.config import Params

NETWORKS = {  # of segment, beside the checkpoint of its own: which sources use them
    "detector": {"grounded_sam2"},
    "sam2": {"grounded_sam2"},
    "sam3": {"sam3"},
    "clipseg": {"clipseg"},
}
KINDS = {  # by section; the others name networks of transformers
    "edit.inpaint": "pipeline",
    "edit.prior": "pipeline",
    "edit.refine": "pipeline",
    "edit.refine.vae": "part",
    "edit.refine.controlnet": "part",
    "edit.refine.ip_adapter": "ip_adapter",
    "edit.inpaint.lora": "file",
    "edit.prior.lora": "file",
    "edit.refine.lora": "file",
}


@dataclasses.dataclass(frozen=True)
class UsedCheckpoint:
    """A checkpoint as params.yaml names it."""

    key: str
    name: str  # a folder, a hub id, or a name of open_clip
    kind: str  # pipeline, part or file of one (diffusers), ip_adapter, network (transformers) or clip (open_clip)
    revision: str | None = None
    variant: str | None = None
    pretrained: str | None = None  # clip
    subfolder: str | None = None  # part, file, ip_adapter
    weight_name: str | None = None  # file, ip_adapter
    encoder: str | None = None  # ip_adapter: the folder of its image encoder


def used_checkpoints(params: Params) -> list[UsedCheckpoint]:
    """Return the checkpoints that a run with these settings would load."""
    checkpoints = [*_walk(params.edit, "edit"), *_walk(params.segment, "segment")]
    used = [checkpoint for checkpoint in checkpoints if _is_used(checkpoint.key, params)]
    if params.prompt.source == "transformers":
        llm = params.prompt.llm
        used.append(UsedCheckpoint("prompt.llm.model", str(llm.model), "network", llm.revision))
    if params.filter.name == "vqa":
        used.append(UsedCheckpoint("filter.model", str(params.filter.model), "network", params.filter.revision))
    elif params.filter.name == "clip":
        pretrained = params.filter.pretrained
        used.append(UsedCheckpoint("filter.model", str(params.filter.model), "clip", pretrained=pretrained))
    clip = params.clip
    kind, revision = ("clip", None) if clip.reads_text else ("network", clip.revision)
    return [*used, UsedCheckpoint("clip.model", clip.model, kind, revision, pretrained=clip.pretrained)]


def _walk(section: BaseModel, path: str) -> Iterator[UsedCheckpoint]:
    """Yield what a section and those below it name as ``checkpoint``."""
    values: dict[str, Any] = dict(section)
    if values.get("checkpoint"):
        yield UsedCheckpoint(
            f"{path}.checkpoint",
            values["checkpoint"],
            KINDS.get(path, "network"),
            values.get("revision"),
            values.get("variant"),
            subfolder=values.get("subfolder"),
            weight_name=values.get("weight_name"),
            encoder=image_encoder_path(section) if isinstance(section, IpAdapterConfig) else None,
        )
    for name, value in values.items():
        if isinstance(value, BaseModel):
            yield from _walk(value, f"{path}.{name}")


def _is_used(key: str, params: Params) -> bool:
    section, part, *_ = key.split(".")
    sources = {params.segment.source, params.segment.fallback}
    if section == "segment":
        return bool(NETWORKS.get(part, {"model"}) & sources)
    if part == "prior":
        drawn = params.edit.prior.source == "text_to_image" and EDITORS[params.edit.method].priors
        return drawn and set(params.grid.attributes) != {"color"}
    if part == "refine":
        cells = itertools.product(params.grid.attributes, params.grid.feasibilities)
        return any(params.edit.recipe(*cell).refine for cell in cells)
    return params.edit.method != "paste"


def look_for(used: UsedCheckpoint, hub: Hub) -> Finding:
    """Say of one checkpoint whether it is here, or what would be downloaded."""
    try:
        hosted = _hosted(used)
        if hosted is None:
            return _here(used, "ok", _local_words(used), _local_bytes(used))
    except UserError as error:
        return Finding("checkpoints", used.key, "missing", str(error), "correct the name, or put the checkpoint there")
    cached = cached_bytes(hosted)
    if cached is not None:
        return _here(used, "ok", f"{used.name}: in the local cache, {readable_bytes(cached)}", cached)
    try:
        size = hub.size(hosted)
    except LookupError as error:
        remedy = (
            "correct the id or revision; where access must be asked for, ask on its page and log in (hf auth login)"
        )
        return Finding("checkpoints", used.key, "missing", f"{used.name}: {error}", remedy)
    if isinstance(size, str):
        remedy = "connect, or copy the checkpoint here and name its folder"
        words = f"{used.name}: not in the local cache; size unknown: {size}"
        status = "missing" if hub.problem else "note"
        return Finding("checkpoints", used.key, status, words, remedy if hub.problem else None)
    words = f"{used.name}: would be downloaded, {readable_bytes(size)}"
    return Finding("checkpoints", used.key, "note", words, values={"download_bytes": size})


def _here(used: UsedCheckpoint, status: Any, words: str, size: int) -> Finding:
    return Finding("checkpoints", used.key, status, words, values={"bytes": size})


def _hosted(used: UsedCheckpoint) -> HubCheckpoint | None:
    """Return where on the hub a checkpoint lies; None for one that is here and whole, or needs nothing.

    Raises:
        UserError: a folder, or what it should hold, is missing; or open_clip does not know the name.
    """
    if used.kind == "ip_adapter":
        return _ip_adapter(used)
    if used.kind == "file":
        return _file(used)
    if used.kind != "clip":
        config = "model_index.json" if used.kind == "pipeline" else "config.json"
        check_checkpoint(used.name, used.key, config, used.subfolder)
        if used.kind == "pipeline":
            check_variant(used.name, used.key, used.variant)
        if not is_hub_id(used.name):
            return None
        folders = (used.subfolder or ".",)
        pipeline = used.kind == "pipeline"
        return HubCheckpoint(used.key, used.name, used.revision, used.variant, pipeline, folders=folders)
    check_clip(used.name, used.pretrained, used.key.removesuffix(".model"))
    if used.name.startswith(HUB):
        return HubCheckpoint(used.key, used.name.removeprefix(HUB))
    if used.name.startswith(LOCAL) or not used.pretrained or Path(used.pretrained).is_file():
        return None
    return _tag(used)


def _file(used: UsedCheckpoint) -> HubCheckpoint | None:
    check_file(used.name, used.key, used.subfolder, str(used.weight_name))
    weights = PurePosixPath(used.subfolder or "", str(used.weight_name))
    hosted = HubCheckpoint(used.key, used.name, used.revision, files=(str(weights),), folders=())
    return hosted if is_hub_id(used.name) else None


def _ip_adapter(used: UsedCheckpoint) -> HubCheckpoint | None:
    check_file(used.name, used.key, used.subfolder, str(used.weight_name))
    check_checkpoint(used.name, used.key, "config.json", used.encoder)
    if not is_hub_id(used.name):
        return None
    weights = PurePosixPath(used.subfolder or "", str(used.weight_name))
    return HubCheckpoint(used.key, used.name, used.revision, files=(str(weights),), folders=(str(used.encoder),))


def _tag(used: UsedCheckpoint) -> HubCheckpoint:
    """Return where a tag of open_clip lies."""
    import open_clip

    settings = open_clip.get_pretrained_cfg(used.name, str(used.pretrained))
    if not settings:
        raise UserError(f"{used.key} = {used.name!r} with {used.pretrained!r} is unknown to open_clip")
    repository, _, file = settings.get("hf_hub", "").rpartition("/")
    if not repository:
        raise UserError(f"{used.key}: open_clip has no safetensors of {used.name} with {used.pretrained!r}")
    return HubCheckpoint(used.key, repository, files=(file or "open_clip_model.safetensors",), folders=())


def _local_words(used: UsedCheckpoint) -> str:
    if used.kind == "clip" and not used.name.startswith(LOCAL) and not used.pretrained:
        return f"{used.name}: random weights, nothing to load"
    return f"{used.name}: a folder here, {readable_bytes(_local_bytes(used))}"


def _local_bytes(used: UsedCheckpoint) -> int:
    path = Path(used.pretrained or used.name.removeprefix(LOCAL))
    files = path.rglob("*.safetensors") if path.is_dir() else [path] if path.is_file() else []
    return sum(file.stat().st_size for file in files)
