"""Data sets behind one small protocol; `DATASETS` maps `dataset.name` of params.yaml to its class."""

from __future__ import annotations

from varireal.config import DatasetConfig
from varireal.datasets.base import Dataset
from varireal.datasets.image_folder import ImageFolder
from varireal.datasets.rendered_aircraft import RenderedAircraft

DATASETS: dict[str, type[Dataset]] = {"rendered_aircraft": RenderedAircraft, "image_folder": ImageFolder}


def open_dataset(config: DatasetConfig, seed: int) -> Dataset:
    """Return the data set that ``config.name`` asks for; its constructor checks what can be checked cheaply.

    Raises:
        UserError: the folder, its classes or its splits cannot be used.
    """
    return DATASETS[config.name](config, seed)
