"""The sample that `varireal doctor --calibrate` works on: a few photos, prompts and settings in a folder."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from varireal.base.files import write_json
from varireal.base.manifest import ImageRecord, write_manifest
from varireal.compute.processes import available_cores
from varireal.datasets.preparation import write_photo, write_pictures
from varireal.errors import UserError

if TYPE_CHECKING:
    from varireal.config import Params
    from varireal.datasets.base import Dataset
    from varireal.prompts import PromptTable

SAMPLE = 8  # training photos, spread over the data set
PARAMS, PHOTOS, MASKS, PROMPTS, RESULT = "params.yaml", "photos.parquet", "masks.parquet", "prompts.json", "result.json"


def write_sample(params: Params, dataset: Dataset, table: PromptTable, folder: Path) -> dict[str, Any]:
    """Write photos, ready-made pictures, prompts and settings, and return what the first two took."""
    train = [photo for photo in dataset.photos() if photo.split == "train"]
    chosen = train[:: max(1, len(train) // SAMPLE)][:SAMPLE]
    start = time.perf_counter()
    written = [write_photo(photo, folder, folder, tuple(dataset.classes)) for photo in chosen]
    middle = time.perf_counter()
    write_pictures(dataset, folder, available_cores())
    end = time.perf_counter()
    records = [each for each in written if isinstance(each, ImageRecord)]
    if not records:
        raise UserError(f"not one photo of the sample can be used: {written[0]}")
    write_manifest(folder / PHOTOS, records)
    drawn = params.edit.prior.source == "text_to_image"
    write_json(folder / PROMPTS, (_first_values(table) if drawn else table).to_json())
    (folder / PARAMS).write_text(yaml.safe_dump(_settings(params, folder).model_dump(mode="json")), encoding="utf-8")
    files = [Path(path) for each in records for path in (each.path, each.mask_path) if path]
    return {
        "photo": (middle - start) / len(chosen) / available_cores(),
        "photo_bytes": sum(file.stat().st_size for file in files) / len(records),
        "pictures": end - middle,
        "picture_bytes": sum(file.stat().st_size for file in (folder / "pictures").rglob("*.png")),
    }


def _first_values(table: PromptTable) -> PromptTable:
    """Return the table with one value in each list, since drawing the pictures of each takes long."""
    short = {
        attribute: {
            feasibility: {name: specs[:1] for name, specs in by_class.items()}
            for feasibility, by_class in kinds.items()
        }
        for attribute, kinds in table.attributes.items()
    }
    return table.model_copy(update={"attributes": short})


def _settings(params: Params, folder: Path) -> Params:
    """Return the settings with one attempt an edit, and the sample's own pictures where the data set renders them."""
    once = params.filter.model_copy(update={"max_attempts": 1})
    if params.edit.prior.pictures:
        return params.model_copy(update={"filter": once})
    prior = params.edit.prior.model_copy(update={"pictures": str(folder / "pictures")})
    return params.model_copy(update={"filter": once, "edit": params.edit.model_copy(update={"prior": prior})})
