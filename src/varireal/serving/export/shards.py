"""Edits as tar shards of the WebDataset format."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from varireal.base.files import write_json
from varireal.base.manifest import ImageRecord
from varireal.base.seeding import derive_seed
from varireal.errors import require_extra
from varireal.serving.export.edits import EditSet, described, stem, suffix, with_pictures
from varireal.serving.export.folder import ABOUT

NAME = "train-{:06d}.tar"
# of webdataset's TarWriter: bytes as they are, and nothing of who wrote them when
TAR = {"encoder": False, "mtime": 0, "user": "varireal", "group": "varireal"}


def write_shards(folder: Path, edits: EditSet, shard_bytes: int) -> None:
    """Write ``train-000000.tar`` and so on, each closed as soon as its samples have ``shard_bytes`` or more.

    A sample is ``<name>.png``, ``<name>.cls`` (the class index) and ``<name>.json``. Samples stand in an order that is
    shuffled but always the same, as training reads a shard from its beginning. The same edits give the same bytes.
    """
    require_extra("export", "webdataset", "--format webdataset")
    # webdataset's own writer, and not base.shards: for its readers, who have no use for the index that lies beside ours
    from webdataset.writer import TarWriter

    shuffled = sorted(edits.records, key=lambda record: derive_seed("export", record.image_id))
    rest = with_pictures(dataclasses.replace(edits, records=tuple(shuffled)))
    edit = next(rest, None)
    count = 0
    while edit is not None:
        with (folder / NAME.format(count)).open("wb") as file, TarWriter(file, **TAR) as writer:
            size = 0
            while edit is not None and size < shard_bytes:
                size += writer.write(_sample(*edit))
                edit = next(rest, None)
        count += 1
    write_json(folder / ABOUT, {"export": "webdataset", "shards": count, **edits.about()})


def _sample(record: ImageRecord, data: bytes) -> dict[str, Any]:
    return {
        "__key__": stem(record),
        suffix(record): data,
        "cls": str(record.class_index).encode(),
        "json": json.dumps(described(record), ensure_ascii=False).encode(),
    }
