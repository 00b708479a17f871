"""A preview from its photos to its page: everything that it makes is kept for the run itself."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from varireal import paths
from varireal.base.files import atomic_write_bytes, read_mapping, write_json
from varireal.base.manifest import read_manifest
from varireal.errors import UserError
from varireal.previewing.cells import preview_cell
from varireal.previewing.forecast import forecast_run, mix_chance
from varireal.previewing.notes import remembered
from varireal.previewing.page import render_preview
from varireal.previewing.preview import Preview
from varireal.previewing.sample import choose_photos, find_masks
from varireal.previewing.warnings import warn
from varireal.prompts import load_prompts

if TYPE_CHECKING:
    from varireal.config import Params

PAGE, FIGURES = "index.html", "preview.json"


def make_preview(params: Params, count: int, show: Callable[[Preview], None]) -> None:
    """Take ``count`` photos through every cell of the grid, and pass the preview on while its pictures are there.

    Raises:
        UserError: photos or prompts are not prepared, or a photo, picture or checkpoint cannot be used.
        Interrupted: a signal asked to end; what is finished is kept.
    """
    for path, stage in ((paths.PHOTOS_MANIFEST, "prepare"), (paths.PROMPTS, "prompt")):
        if not path.is_file():
            raise UserError(f"{path} is not there to preview; run `dvc repro {stage}` first")
    info = read_mapping(paths.DATASET_INFO, "domain_word")
    table, photos = load_prompts(paths.PROMPTS), read_manifest(paths.PHOTOS_MANIFEST)
    train = [photo for photo in photos if photo.split == "train"]
    chosen = choose_photos(train, count, params.seed)
    with tempfile.TemporaryDirectory(prefix="varireal-preview-") as name:
        folder = Path(name)
        masks = find_masks(params, train, chosen, info["domain_word"], folder)
        settings = params.model_dump(mode="json", include={"segment", "compute"})
        masks = dataclasses.replace(masks, measured=remembered("masks", settings, masks.measured))
        cells = [
            preview_cell(params, table, masks.of(chosen), attribute, feasibility, folder / attribute / feasibility)
            for attribute in params.grid.attributes
            for feasibility in params.grid.feasibilities
        ]
        chances = [mix_chance(params, photos, masks, cell) for cell in cells]
        forecast = forecast_run(params, table, photos, masks, cells)
        show(Preview(params.study_name, chosen, masks, cells, chances, forecast, warn(masks, cells, chances)))


def write_preview(preview: Preview) -> Path:
    """Write the page and the figures, and return the page's path.

    Raises:
        UserError: a picture cannot be read, or the disk is full.
    """
    page = paths.PREVIEW / PAGE
    atomic_write_bytes(page, render_preview(preview).encode())
    write_json(paths.PREVIEW / FIGURES, preview.figures())
    return page
