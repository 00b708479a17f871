"""Edits as a folder that Hugging Face's `imagefolder` loader reads."""

from __future__ import annotations

import json
from pathlib import Path

from varireal.base.files import write_json
from varireal.serving.export.edits import EditSet, described, stem, suffix, with_pictures
from varireal.serving.export.folder import ABOUT

SPLIT = "train"  # edits are made of training photos only
METADATA = "metadata.jsonl"


def write_image_folder(folder: Path, edits: EditSet) -> None:
    """Write ``train/metadata.jsonl`` and the pictures that its ``file_name`` names, relative to it.

    The layout is that of https://huggingface.co/docs/datasets/image_dataset: a folder a split, one JSON object a line.
    """
    root = folder / SPLIT
    lines = []
    for record, data in with_pictures(edits):
        name = f"{stem(record)}.{suffix(record)}"
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
        lines.append(json.dumps({"file_name": name, **described(record)}, ensure_ascii=False))
    (root / METADATA).write_text("\n".join(lines) + "\n", encoding="utf-8")
    write_json(folder / ABOUT, {"export": "imagefolder", **edits.about()})
