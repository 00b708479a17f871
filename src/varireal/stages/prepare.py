"""`varireal prepare`: photos, masks, ready-made pictures, classes, splits and the manifest."""

from __future__ import annotations

import click

from varireal import paths
from varireal.base.files import staged_folder, write_json
from varireal.base.manifest import write_manifest
from varireal.cli import stage_options
from varireal.compute.processes import available_cores
from varireal.config import Params
from varireal.datasets import open_dataset
from varireal.datasets.preparation import check_classes, write_photos, write_pictures


@click.command("prepare")
@stage_options
def command(params: Params) -> None:
    """Write the data set's photos, masks, classes, splits and manifest to data/prepared.

    Reads `dataset` and `seed` of params.yaml. With dataset.download, archives that are missing are fetched. Unusable
    photos stop the stage with their names, or are left out with dataset.on_bad_image: skip.
    """
    dataset = open_dataset(params.dataset, params.seed, may_download=True)
    check_classes(dataset)
    classes, workers = list(dataset.classes), available_cores()
    with staged_folder(paths.PREPARED) as folder:
        prepared = write_photos(dataset, folder, paths.PREPARED, params.dataset.on_bad_image, workers)
        write_pictures(dataset, folder, workers)
        write_manifest(folder / paths.PHOTOS_MANIFEST.name, prepared.records)
        info = {
            "name": params.dataset.name,
            "domain_word": params.dataset.domain_word,
            "classes": classes,
            "counts": prepared.counts(classes),
            "skipped": prepared.skipped,
        }
        write_json(folder / paths.DATASET_INFO.name, info)
