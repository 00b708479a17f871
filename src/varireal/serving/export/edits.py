"""Which edits are exported, under which names, what is said of each, and the folder of Hugging Face's `imagefolder`."""

from __future__ import annotations

import dataclasses
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from varireal import paths
from varireal.base.files import read_file, read_mapping, sha256_bytes, write_json
from varireal.base.manifest import ATTRIBUTES, ImageRecord, read_manifest, usable
from varireal.config.controls import is_control
from varireal.errors import UserError
from varireal.serving.export.folder import ABOUT

EVERYTHING = "all"
SPLIT = "train"  # edits are made of training photos only
OTHER_SPLITS = ("validation", "valid", "val", "dev", "testing", "test", "evaluation", "eval")
METADATA = "metadata.jsonl"  # of an imagefolder
# fields of a record that are said of an edit, beside its label
FIELDS = ("image_id", "photo_id", "class_index", "attribute", "feasibility", "value", "prompt", "index", "seed",
          "status", "width", "height", "sha256")  # fmt: skip


@dataclasses.dataclass(frozen=True)
class EditSet:
    """Edits to export, in the order of their names, and the classes they belong to."""

    name: str  # "all", or a mix such as "color_mixed"
    records: tuple[ImageRecord, ...]
    classes: tuple[str, ...]
    dataset: str
    domain_word: str

    def about(self) -> dict[str, Any]:
        """Return what is said of the whole set, as JSON values."""
        cells = Counter(f"{record.attribute} {record.feasibility}" for record in self.records)
        return {
            "dataset": self.dataset,
            "domain_word": self.domain_word,
            "data": self.name,
            "classes": list(self.classes),
            "images": len(self.records),
            "images_by_cell": dict(sorted(cells.items())),
        }


def read_edits(name: str, attributes: Sequence[str], feasibilities: Sequence[str], include_exhausted: bool) -> EditSet:
    """Read the edits of a mix (such as ``color_mixed``), or of all cells of the grid (``all``).

    Args:
        attributes: of the grid; likewise ``feasibilities``. For ``all``.
        include_exhausted: also take edits that no attempt got past the filter. For ``all``: a mix is taken as it is.

    Raises:
        UserError: there is no such mix, a manifest is missing, or there is no edit.
    """
    info = read_mapping(paths.DATASET_INFO, "name", "classes", "domain_word")
    if name == EVERYTHING:
        folders = [
            paths.edit_folder(attribute, feasibility) for attribute in attributes for feasibility in feasibilities
        ]
        made = [record for folder in folders for record in read_manifest(folder / "manifest.parquet")]
        records = usable(made, include_exhausted)
    else:
        records = read_manifest(_mix(name) / "manifest.parquet")
    if not records:
        raise UserError(f"there is no edit in {name} to export; see metrics/edit for what the filter accepted")
    records.sort(key=lambda record: record.image_id)
    return EditSet(name, tuple(records), tuple(info["classes"]), info["name"], info["domain_word"])


def _mix(name: str) -> Path:
    found = {
        f"{folder.parent.name}_{folder.name}": folder
        for attribute in ATTRIBUTES
        for folder in sorted(paths.mixes_folder(attribute).glob("*"))
        if folder.is_dir() and not is_control(folder.name)  # some of their labels are wrong on purpose
    }
    if name not in found:
        raise UserError(
            f"--data {name}: there is no such mix in {paths.MIXES}; allowed here: {', '.join([EVERYTHING, *found])}"
        )
    return found[name]


def stem(record: ImageRecord) -> str:
    """Return an edit's name in an export, without suffix: ``<attribute>/<feasibility>/<photo>-<index>``.

    It has no dot: WebDataset reads a sample's name up to the first one.

    Raises:
        UserError: the manifest's names lead out of the folder.
    """
    name = PurePosixPath(f"{record.attribute}/{record.feasibility}/{record.photo_id}-{record.index}")
    if ".." in name.parts or name.is_absolute():
        raise UserError(f"the edit {record.image_id!r} has a name that leads out of the export; make the edits anew")
    return name.as_posix().replace(".", "_")


def picture(record: ImageRecord) -> bytes:
    """Return an edit's file.

    Raises:
        UserError: it is missing, or not the one that the manifest describes.
    """
    try:
        data = read_file(Path(record.path))
    except OSError as error:
        raise UserError(
            f"the edit {record.path} cannot be read ({error.strerror}); run its edit stage again"
        ) from error
    if sha256_bytes(data) != record.sha256:
        raise UserError(f"{record.path} is not the picture that its manifest describes; run its edit stage again")
    return data


def suffix(record: ImageRecord) -> str:
    """Return the kind of an edit's file, without the dot: ``png``."""
    return PurePosixPath(record.path).suffix.removeprefix(".").lower()


def described(record: ImageRecord) -> dict[str, Any]:
    """Return what is said of an edit: its label (the class name) and :data:`FIELDS`."""
    return {"label": record.class_name, **{name: getattr(record, name) for name in FIELDS}}


def with_pictures(edits: EditSet) -> Iterator[tuple[ImageRecord, bytes]]:
    """Read the file of every edit and show progress."""
    from varireal.compute.progress import progress

    with progress("Export", len(edits.records)) as advance:
        for record in edits.records:
            yield record, picture(record)
            advance(1)


def without_splits(name: str) -> str:
    """Return a name in which no word means another split to Hugging Face's readers: "test" becomes "tests".

    Their rule is that of https://huggingface.co/docs/datasets/repository_structure: a word of OTHER_SPLITS in the path
    of a file, between signs or digits, puts the file into that split, whatever folder it lies in.
    """
    return re.sub(rf"(?<![a-z])({'|'.join(OTHER_SPLITS)})(?![a-z])", r"\1s", name, flags=re.IGNORECASE)


def write_image_folder(folder: Path, edits: EditSet) -> None:
    """Write an imagefolder: ``train/metadata.jsonl`` and the pictures that its ``file_name`` names, relative to it.

    The layout is that of https://huggingface.co/docs/datasets/image_dataset: a folder a split, one JSON object a line.
    """
    root = folder / SPLIT
    lines = []
    taken: set[str] = set()
    for record, data in with_pictures(edits):
        name = without_splits(stem(record))
        if name in taken:
            name = f"{name}-{record.sha256[:8]}"
        taken.add(name)
        name = f"{name}.{suffix(record)}"
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
        lines.append(json.dumps({"file_name": name, **described(record)}, ensure_ascii=False))
    (root / METADATA).write_text("\n".join(lines) + "\n", encoding="utf-8")
    write_json(folder / ABOUT, {"export": "imagefolder", **edits.about()})
