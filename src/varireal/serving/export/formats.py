"""An adapter's merged model or the edits, written in one of the formats of others."""

from __future__ import annotations

import tempfile
from pathlib import Path

from varireal import paths
from varireal.config import ComputeConfig, load_params
from varireal.errors import UserError
from varireal.serving.adapter import load_merged, read_description
from varireal.serving.export.edits import read_edits, write_image_folder
from varireal.serving.export.folder import check_target, export_folder
from varireal.serving.export.shards import write_shards

MODEL_FORMATS = ("open_clip", "mlflow")  # the first is the usual one
DATA_FORMATS = ("imagefolder", "webdataset")


def export_model(adapter: Path, form: str, target: Path, force: bool) -> None:
    """Write CLIP with an adapter merged into it, in one of ``MODEL_FORMATS``.

    Raises:
        UserError: the target is taken, the adapter or its CLIP is not what it was, or it is a probe's.
    """
    from varireal.serving.export.models import write_mlflow, write_open_clip

    check_target(target, force)
    if not read_description(adapter).clip.reads_text:
        raise UserError(
            f"{adapter} is an adapter of a probe, and {form} is a format of CLIPs: load its folder with PEFT, or name "
            "photos with `varireal predict`"
        )
    clip, description = load_merged(adapter, ComputeConfig(device="cpu"))
    with export_folder(target, force) as folder:
        if form == "open_clip":
            write_open_clip(folder, clip, description)
        else:
            with tempfile.TemporaryDirectory() as scratch:
                write_mlflow(folder, clip, description, Path(scratch))


def export_edits(name: str, form: str, shard_bytes: int, include_exhausted: bool, target: Path, force: bool) -> None:
    """Write the edits of a mix, or of all cells of the grid in params.yaml (``all``), in one of ``DATA_FORMATS``.

    Raises:
        UserError: the target is taken, or as for :func:`varireal.serving.export.edits.read_edits`.
    """
    check_target(target, force)
    grid = load_params(paths.PARAMS).grid
    edits = read_edits(name, grid.attributes, grid.feasibilities, include_exhausted)
    with export_folder(target, force) as folder:
        if form == "imagefolder":
            write_image_folder(folder, edits)
        else:
            write_shards(folder, edits, shard_bytes)
