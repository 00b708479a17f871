"""`varireal segment`: an object mask for every training photo."""

from __future__ import annotations

import click

from varireal import paths
from varireal.cli import stage_options
from varireal.config import Params


@click.command("segment")
@stage_options
def command(params: Params) -> None:
    """Find the object in every training photo; masks and their manifest go to data/segmented.

    Reads `segment` and `compute` of params.yaml. Where segment.source finds nothing, segment.fallback is asked. Masks
    that are empty, too small, too large, mostly at the border or scattered are marked as failed;
    metrics/segment.json counts them and, where true masks exist, holds the mean IoU.
    """
    from varireal.base.files import read_json, staged_folder, write_json
    from varireal.base.manifest import read_manifest, write_manifest
    from varireal.compute.engines import ENGINES
    from varireal.errors import UserError
    from varireal.segmentation import NETWORK_MODULES, SEGMENTERS
    from varireal.segmentation.metrics import mask_metrics
    from varireal.segmentation.run import segment_photos
    from varireal.store import FolderStore

    config = params.segment
    sources = [source for source in (config.source, config.fallback) if source is not None]
    words = read_json(paths.DATASET_INFO)["domain_word"]
    modules = () if set(sources) == {"dataset"} else NETWORK_MODULES
    engine = ENGINES[params.compute.engine](params.compute, modules)
    compute = params.compute.model_copy(update={"device": engine.device()})
    segmenters = [SEGMENTERS[source](config, compute, words) for source in sources]
    photos = [photo for photo in read_manifest(paths.PHOTOS_MANIFEST) if photo.split == "train"]
    truth = {photo.image_id: photo.mask_path for photo in photos if photo.mask_path is not None}
    if config.source == "dataset" and not truth:
        raise UserError(
            "segment.source is dataset, but the data set has no masks; set dataset.masks_root, or use another source"
        )
    if config.query == "domain" and not words and {"grounded_sam2", "sam3", "clipseg"} & set(sources):
        raise UserError("segment.query is domain, but dataset.domain_word is empty; set it, or use query class")
    with staged_folder(paths.SEGMENTED) as folder:
        done = segment_photos(segmenters, photos, config, FolderStore("segment"), engine, folder, paths.SEGMENTED)
        write_manifest(folder / paths.MASKS_MANIFEST.name, done)
        metrics = mask_metrics(done, truth, config, folder)
    write_json(paths.METRICS / "segment.json", metrics)
