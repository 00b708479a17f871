"""Data sets behind one small protocol; `DATASETS` maps `dataset.name` of params.yaml to its class."""

from __future__ import annotations

from varireal.base.file_kinds import at_home
from varireal.config import DatasetConfig
from varireal.datasets.base import Dataset
from varireal.datasets.download import fetch
from varireal.datasets.fgvc_aircraft import FgvcAircraft
from varireal.datasets.image_folder import ImageFolder
from varireal.datasets.oxford_pets import OxfordPets
from varireal.datasets.published import PublishedDataset
from varireal.datasets.rendered_aircraft import RenderedAircraft
from varireal.datasets.stanford_cars import StanfordCars
from varireal.datasets.waterbirds import Waterbirds
from varireal.errors import UserError

DATASETS: dict[str, type[Dataset]] = {
    "rendered_aircraft": RenderedAircraft,
    "image_folder": ImageFolder,
    "oxford_pets": OxfordPets,
    "fgvc_aircraft": FgvcAircraft,
    "stanford_cars": StanfordCars,
    "waterbirds": Waterbirds,
}


def open_dataset(config: DatasetConfig, seed: int, may_download: bool = False) -> Dataset:
    """Return the data set that ``config.name`` asks for; its constructor checks what can be checked cheaply.

    With ``may_download``, and if ``config.download`` asks for it, a published data set that is not whole in its root
    is fetched there.

    Raises:
        UserError: the folder, its classes or its splits cannot be used, or the data set cannot be fetched.
    """
    kind = DATASETS[config.name]
    try:
        return kind(config, seed)
    except UserError:
        if not (may_download and config.download and config.root and issubclass(kind, PublishedDataset)):
            raise
    fetch(kind.archives, at_home(config.root))
    return kind(config, seed)
