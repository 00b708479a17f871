"""`varireal segment`: an object mask for every training photo."""

from __future__ import annotations

import click

from varireal import layout
from varireal.config import Params
from varireal.stages.common import apply_compute, stage_options


@click.command("segment")
@stage_options
def command(params: Params) -> None:
    """Find the object in every training photo; masks and their manifest go to data/segmented.

    Reads `segment` and `compute` of params.yaml. Masks that are empty, too small or too large are marked as
    failed; metrics/segment.json counts them and, where true masks exist, holds the mean IoU.
    """
    from varireal.errors import UserError
    from varireal.io import staged_folder, write_json
    from varireal.manifest import read_manifest, write_manifest
    from varireal.segmentation import SEGMENTERS
    from varireal.segmentation.run import mask_metrics, segment_photos
    from varireal.work import WorkStore

    config = params.segment
    segmenter = SEGMENTERS[config.source](config, params.compute)
    photos = [photo for photo in read_manifest(layout.PHOTOS_MANIFEST) if photo.split == "train"]
    truth = {photo.image_id: photo.mask_path for photo in photos if photo.mask_path is not None}
    if config.source == "dataset":
        if not truth:
            raise UserError(
                "segment.source is dataset, but the data set has no masks; set dataset.masks_root, or use source model"
            )
        truth = {}
    apply_compute(params)
    with staged_folder(layout.SEGMENTED) as folder:
        done = segment_photos(segmenter, photos, config, WorkStore("segment"), folder, layout.SEGMENTED)
        write_manifest(folder / layout.MASKS_MANIFEST.name, done)
        metrics = mask_metrics(done, truth, folder)
    write_json(layout.METRICS / "segment.json", metrics)


if __name__ == "__main__":
    from varireal.cli import run_command

    run_command(command)
