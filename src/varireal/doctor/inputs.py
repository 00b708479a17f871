"""What the photos' masks, the pictures for priors and the networks lack for the grid, all of it at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from varireal.base.files import read_image, read_json, read_mapping
from varireal.doctor.findings import Finding
from varireal.editing.pictures import FolderPictures
from varireal.errors import UserError
from varireal.networks.clip_weights import CONFIG, HUB, LOCAL
from varireal.segmentation.labels import labels_problem

if TYPE_CHECKING:
    from varireal.base.manifest import Attribute
    from varireal.config import Params
    from varireal.datasets.base import Dataset, Photo
    from varireal.prompts import PromptTable

NAMED = 12  # values, files or classes in one finding


def look_at_pictures(params: Params, table: PromptTable) -> list[Finding]:
    """Say which values of the bank have no picture, and which pictures cannot be read."""
    prior = params.edit.prior
    attributes: list[Attribute] = [attribute for attribute in params.grid.attributes if attribute != "color"]
    if prior.source != "pictures" or prior.pictures is None or not attributes:  # made by the data set, or drawn
        return []
    root = Path(prior.pictures)
    lacking: list[str] = []
    files: set[Path] = set()
    for attribute in attributes:
        for feasibility in params.grid.feasibilities:
            pictures = FolderPictures(root, attribute, feasibility)
            specs = {spec.name: spec for name in table.classes for spec in table.specs(attribute, feasibility, name)}
            for spec in specs.values():
                found = pictures.files(spec)
                files.update(found)
                if not found:
                    lacking.append(f"{attribute}/{feasibility}/{spec.picture or spec.name}")
    spoilt = [str(error) for file in sorted(files) if (error := _unreadable(file)) is not None]
    findings = []
    if lacking:
        words = f"{len(lacking)} values of the bank have no picture in {root}: {_some(lacking)}"
        remedy = "add <name>.jpg or a folder <name>/ for each, or take them out of the bank"
        findings.append(Finding("data", "pictures", "missing", words, remedy, {"missing": lacking}))
    if spoilt:
        words = f"{len(spoilt)} of {len(files)} pictures cannot be read: {_some(spoilt)}"
        findings.append(Finding("data", "pictures' files", "missing", words, "replace or remove them"))
    if not findings:
        findings.append(Finding("data", "pictures", "ok", f"{len(files)} in {root}", values={"files": len(files)}))
    return findings


def _unreadable(file: Path) -> UserError | None:
    try:
        read_image(file)
    except UserError as error:
        return error
    return None


def without_masks(params: Params, photos: Sequence[Photo]) -> int:
    """Return how many photos for training will get no edit because no mask belongs to them."""
    if params.segment.source != "dataset" or params.segment.fallback is not None:
        return 0
    return sum(photo.split == "train" and getattr(photo, "mask_path", photo) is None for photo in photos)


def look_at_masks(params: Params, dataset: Dataset, photos: Sequence[Photo]) -> list[Finding]:
    """Say which classes have no mask to edit with, where masks come with the photos."""
    count = without_masks(params, photos)
    if not count:
        return []
    training = [photo for photo in photos if photo.split == "train"]
    masked = Counter(photo.class_index for photo in training if getattr(photo, "mask_path", photo) is not None)
    bare = [name for index, name in enumerate(dataset.classes) if not masked[index]]
    values: dict[str, Any] = {"without_masks": count, "classes": bare}
    if bare:
        words = f"{len(bare)} classes have no mask to edit with: {_some(bare)}"
        remedy = "give them masks, leave them out, or set segment.fallback to a network that finds them"
        return [Finding("data", "masks", "missing", words, remedy, values)]
    words = f"{count} of {len(training)} photos for training have no mask and get no edit"
    return [Finding("data", "masks", "note", words, values=values)]


def look_at_networks(params: Params, classes: Sequence[str]) -> list[Finding]:
    """Say which networks cannot do their part: a classifier without LoRA's layers, a segmenter of another world."""
    findings = []
    if params.clip.kind == "clip" and (problem := _without_lora(params.clip.model)):
        remedy = "choose one whose towers are transformers, such as ViT-B-16-quickgelu or ViT-B-16-SigLIP2"
        findings.append(
            Finding("checkpoints", "LoRA", "missing", f"clip.model = {params.clip.model!r}: {problem}", remedy)
        )
    if problem := labels_problem(params.segment, params.dataset.domain_word, classes) or _unknown_labels(params):
        findings.append(Finding("checkpoints", "segment.object_labels", "missing", problem, "as it says"))
    return findings


def _without_lora(model: str) -> str | None:
    """Say why a CLIP has no query and value projections that LoRA takes; None where it has, or is not known here."""
    if model.startswith(HUB):
        return None
    if model.startswith(LOCAL):
        path = Path(model.removeprefix(LOCAL), CONFIG)
        # another shape than open_clip's is told by the check of the checkpoint itself
        told = read_json(path, "get the checkpoint of clip.model again") if path.is_file() else {}
        config = told.get("model_cfg") if isinstance(told, dict) else None
        config = config if isinstance(config, dict) else {}
    else:
        import open_clip

        config = open_clip.get_model_config(model) or {}
    vision, text = config.get("vision_cfg", {}), config.get("text_cfg", {})
    if isinstance(vision.get("layers"), list):
        return "its image tower is a ResNet, which LoRA's layers do not fit"
    if text.get("hf_model_name"):
        return f"its text tower is {text['hf_model_name']} of another library, which LoRA's layers do not fit"
    trunk = vision.get("timm_model_name")
    if trunk and not _has_blocks(trunk):
        return f"its image tower {trunk} has no blocks of a transformer throughout, which LoRA's layers need"
    return None


def _has_blocks(trunk: str) -> bool:
    """Tell whether LoRA knows the blocks of a network of timm; it is built without memory for its weights."""
    import timm
    import torch

    from varireal.training.attention import tower_attentions

    if trunk not in timm.list_models():
        return True  # loading it says that there is none
    with torch.device("meta"):
        tower = SimpleNamespace(trunk=timm.create_model(trunk, pretrained=False))
    return tower_attentions(tower) is not None


def _unknown_labels(params: Params) -> str | None:
    """Say which labels a segmentation model in a folder here does not know."""
    config = params.segment
    path = Path(str(config.checkpoint), "config.json")
    if "model" not in (config.source, config.fallback) or not path.is_file():
        return None
    labels = read_mapping(path, remedy="get the checkpoint of segment.checkpoint again").get("id2label")
    known = set(map(str, labels.values())) if isinstance(labels, dict) else set()
    unknown = [label for label in config.object_labels if label not in known]
    if not known or not unknown:
        return None
    return (
        f"segment.checkpoint = {config.checkpoint!r} does not know {_some(unknown)}; its labels: "
        f"{_some(sorted(known))}. Give masks (dataset.masks_root), or name a network that knows these photos"
    )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
