"""`varireal segment`: an object mask for every training photo."""

from __future__ import annotations

import click

from varireal import paths
from varireal.base.files import read_mapping, staged_folder, write_json
from varireal.base.manifest import read_manifest, write_manifest
from varireal.cli import stage_options
from varireal.config import Params
from varireal.segmentation.metrics import mask_metrics
from varireal.segmentation.run import build_engine, build_segmenters, check_sources, check_usable, segment_photos
from varireal.store import FolderStore


@click.command("segment")
@stage_options
def command(params: Params) -> None:
    """Find the object in every training photo; masks and their manifest go to data/segmented.

    Reads `segment` and `compute` of params.yaml. Where segment.source finds nothing, segment.fallback is asked. Masks
    that are empty, too small, too large, mostly at the border or scattered are marked as failed;
    metrics/segment.json counts them and, where true masks exist, holds the mean IoU.
    """
    config, domain_word = params.segment, read_mapping(paths.DATASET_INFO, "domain_word")["domain_word"]
    engine = build_engine(params)
    segmenters = build_segmenters(params, engine, domain_word)
    photos = [photo for photo in read_manifest(paths.PHOTOS_MANIFEST) if photo.split == "train"]
    truth = {photo.image_id: photo.mask_path for photo in photos if photo.mask_path is not None}
    check_sources(config, photos, domain_word)
    with staged_folder(paths.SEGMENTED) as folder:
        records = segment_photos(
            segmenters, photos, config, FolderStore("segment"), engine, folder, paths.SEGMENTED,
            max_set_aside=params.compute.max_set_aside,
        )  # fmt: skip
        check_usable(records)
        write_manifest(folder / paths.MASKS_MANIFEST.name, records)
        figures = mask_metrics(records, truth, config, folder)
    write_json(paths.METRICS / "segment.json", figures)
