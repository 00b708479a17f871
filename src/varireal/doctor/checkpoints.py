"""Which checkpoints the configuration really uses, and whether each is here."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from varireal.config import IpAdapterConfig
from varireal.doctor.finding import Finding, readable_bytes
from varireal.doctor.hub import Checkpoint, Hub, cached_bytes
from varireal.editing.refine import image_encoder_path
from varireal.errors import UserError
from varireal.networks.checkpoints import check_checkpoint, check_file, is_hub_id
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
class Named:
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


def used_checkpoints(params: Params) -> list[Named]:
    """Return the checkpoints that a run with these settings would load."""
    found = [*_walk(params.edit, "edit"), *_walk(params.segment, "segment")]
    used = [named for named in found if _is_used(named.key, params)]
    if params.prompt.source == "transformers":
        used.append(Named("prompt.llm.model", str(params.prompt.llm.model), "network", params.prompt.llm.revision))
    if params.filter.name == "vqa":
        used.append(Named("filter.model", str(params.filter.model), "network", params.filter.revision))
    elif params.filter.name == "clip":
        used.append(Named("filter.model", str(params.filter.model), "clip", pretrained=params.filter.pretrained))
    return [*used, Named("clip.model", params.clip.model, "clip", pretrained=params.clip.pretrained)]


def _walk(section: BaseModel, path: str) -> Iterator[Named]:
    """Yield what a section and those below it name as ``checkpoint``."""
    values: dict[str, Any] = dict(section)
    if values.get("checkpoint"):
        yield Named(
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
        return params.edit.prior.source == "text_to_image" and set(params.grid.attributes) != {"color"}
    if part == "refine":
        cells = itertools.product(params.grid.attributes, params.grid.feasibilities)
        return any(params.edit.recipe(*cell).refine for cell in cells)
    return params.edit.method == "diffusion"


def look_for(named: Named, hub: Hub) -> Finding:
    """Say of one checkpoint whether it is here, or what would be downloaded."""
    try:
        hosted = _hosted(named)
        if hosted is None:
            return _here(named, "ok", _local_words(named), _local_bytes(named))
    except UserError as error:
        return Finding("checkpoints", named.key, "missing", str(error), "correct the name, or put the checkpoint there")
    cached = cached_bytes(hosted)
    if cached is not None:
        return _here(named, "ok", f"{named.name}: in the local cache, {readable_bytes(cached)}", cached)
    try:
        size = hub.size(hosted)
    except LookupError as error:
        remedy = (
            "correct the id or revision; where access must be asked for, ask on its page and log in (hf auth login)"
        )
        return Finding("checkpoints", named.key, "missing", f"{named.name}: {error}", remedy)
    if isinstance(size, str):
        remedy = "connect, or copy the checkpoint here and name its folder"
        found = f"{named.name}: not in the local cache; size unknown: {size}"
        status = "missing" if hub.problem else "note"
        return Finding("checkpoints", named.key, status, found, remedy if hub.problem else None)
    found = f"{named.name}: would be downloaded, {readable_bytes(size)}"
    return Finding("checkpoints", named.key, "note", found, values={"download_bytes": size})


def _here(named: Named, status: Any, found: str, size: int) -> Finding:
    return Finding("checkpoints", named.key, status, found, values={"bytes": size})


def _hosted(named: Named) -> Checkpoint | None:
    """Return where on the hub a checkpoint lies; None for one that is here and whole, or needs nothing.

    Raises:
        UserError: a folder, or what it should hold, is missing; or open_clip does not know the name.
    """
    if named.kind == "ip_adapter":
        return _ip_adapter(named)
    if named.kind == "file":
        return _file(named)
    if named.kind != "clip":
        config = "model_index.json" if named.kind == "pipeline" else "config.json"
        check_checkpoint(named.name, named.key, config, named.subfolder)
        if not is_hub_id(named.name):
            return None
        folders = (named.subfolder or ".",)
        pipeline = named.kind == "pipeline"
        return Checkpoint(named.key, named.name, named.revision, named.variant, pipeline, folders=folders)
    check_clip(named.name, named.pretrained, named.key.removesuffix(".model"))
    if named.name.startswith(HUB):
        return Checkpoint(named.key, named.name.removeprefix(HUB))
    if named.name.startswith(LOCAL) or not named.pretrained or Path(named.pretrained).is_file():
        return None
    return _tag(named)


def _file(named: Named) -> Checkpoint | None:
    check_file(named.name, named.key, named.subfolder, str(named.weight_name))
    weights = PurePosixPath(named.subfolder or "", str(named.weight_name))
    hosted = Checkpoint(named.key, named.name, named.revision, files=(str(weights),), folders=())
    return hosted if is_hub_id(named.name) else None


def _ip_adapter(named: Named) -> Checkpoint | None:
    check_file(named.name, named.key, named.subfolder, str(named.weight_name))
    check_checkpoint(named.name, named.key, "config.json", named.encoder)
    if not is_hub_id(named.name):
        return None
    weights = PurePosixPath(named.subfolder or "", str(named.weight_name))
    return Checkpoint(named.key, named.name, named.revision, files=(str(weights),), folders=(str(named.encoder),))


def _tag(named: Named) -> Checkpoint:
    """Return where a tag of open_clip lies."""
    import open_clip

    settings = open_clip.get_pretrained_cfg(named.name, named.pretrained)
    if not settings:
        raise UserError(f"{named.key} = {named.name!r} with {named.pretrained!r} is unknown to open_clip")
    repository, _, file = settings.get("hf_hub", "").rpartition("/")
    if not repository:
        raise UserError(f"{named.key}: open_clip has no safetensors of {named.name} with {named.pretrained!r}")
    return Checkpoint(named.key, repository, files=(file or "open_clip_model.safetensors",), folders=())


def _local_words(named: Named) -> str:
    if named.kind == "clip" and not named.name.startswith(LOCAL) and not named.pretrained:
        return f"{named.name}: random weights, nothing to load"
    return f"{named.name}: a folder here, {readable_bytes(_local_bytes(named))}"


def _local_bytes(named: Named) -> int:
    path = Path(named.pretrained or named.name.removeprefix(LOCAL))
    files = path.rglob("*.safetensors") if path.is_dir() else [path] if path.is_file() else []
    return sum(file.stat().st_size for file in files)
