"""Classes of photos: the sentences are encoded once, the photos in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from varireal.base.file_kinds import is_utf8, shown
from varireal.base.files import read_image
from varireal.compute.processes import available_cores
from varireal.compute.progress import progress
from varireal.config import ComputeConfig
from varireal.datasets.folder_walk import walk_pictures
from varireal.errors import UserError
from varireal.serving.adapter import Labels, load_merged
from varireal.tables import Grid, Line, Styled, columns

if TYPE_CHECKING:
    from varireal.training.classifiers import Classifier as Network

BATCH = 64  # photos that are decoded and go through the network at once


class Classifier:
    """A network with the classes that it tells apart."""

    def __init__(self, network: Network, labels: Labels) -> None:
        import torch

        from varireal.training.towers import unpadded

        self._network, self._sigmoid = network, labels.loss == "sigmoid"
        self.classes = tuple(labels.classes)
        with unpadded(network, labels.sentences) as tokens, torch.no_grad():
            self._vectors = network.class_vectors(network.model, tokens).float()

    def probabilities(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Return the probability of each class, float64 (N, C), for uint8 RGB pictures of any size, as one batch."""
        import torch

        with torch.no_grad():
            logits = self._network.logits(self._network.encode_images(images), self._vectors).double()
        return (logits.sigmoid() if self._sigmoid else logits.softmax(1)).cpu().numpy()


@dataclass(frozen=True)
class RankedClass:
    """A class that a photo may show, and how probable that is."""

    name: str
    index: int
    probability: float


@dataclass(frozen=True)
class RankedClasses:
    """The likeliest classes of one photo, or why it cannot be read."""

    photo: Path
    classes: tuple[RankedClass, ...]  # likeliest first
    problem: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return photo and classes as JSON values."""
        return {
            "photo": str(self.photo) if is_utf8(str(self.photo)) else shown(self.photo),
            "classes": [
                {"class": each.name, "class_index": each.index, "probability": each.probability}
                for each in self.classes
            ],
        }


def rank_classes(probabilities: np.ndarray, names: Sequence[str], top: int) -> tuple[RankedClass, ...]:
    """Return the ``top`` likeliest classes of one photo, probabilities (C,); of equals the lower index comes first."""
    order = np.argsort(-probabilities, kind="stable")[:top]
    return tuple(RankedClass(names[index], index, float(probabilities[index])) for index in map(int, order))


def name_classes(adapter: Path, device: str, named: Sequence[Path], top: int) -> list[RankedClasses]:
    """Return the likeliest classes of photos by an adapter.

    Args:
        named: photos, and folders that are searched for pictures.

    Raises:
        UserError: a folder holds no picture, or as for :func:`varireal.serving.adapter.load_merged`.
    """
    photos = _photos(named)
    classifier = Classifier(*load_merged(adapter, ComputeConfig(device=device)))
    answers = []
    with progress("Photos", len(photos)) as advance:
        for ranked in predict_photos(classifier, photos, top):
            answers.append(ranked)
            advance(1)
    return answers


def predict_photos(classifier: Classifier, photos: Sequence[Path], top: int) -> Iterator[RankedClasses]:
    """Yield the classes of every photo, in their order; one that cannot be read does not stop the others."""
    with ThreadPoolExecutor(available_cores()) as pool:
        for start in range(0, len(photos), BATCH):
            batch = photos[start : start + BATCH]
            decoded = list(pool.map(_decoded, batch))
            readable = [image for image in decoded if isinstance(image, np.ndarray)]
            rows = iter(classifier.probabilities(readable) if readable else ())
            for photo, image in zip(batch, decoded):
                if isinstance(image, np.ndarray):
                    yield RankedClasses(photo, rank_classes(next(rows), classifier.classes, top))
                else:
                    yield RankedClasses(photo, (), image)


def classes_grid(answers: Sequence[RankedClasses]) -> Grid:
    """Return photos and their classes as a table, with a rule between photos."""
    lines = []
    for number, answer in enumerate(answers):
        for rank, each in enumerate(answer.classes):
            photo, style = (shown(answer.photo), "bold") if rank == 0 else ("", "")
            cells = (photo, Styled(each.name, style), f"{100 * each.probability:.1f} %")
            lines.append(Line(cells, section=str(number)))
    return Grid(
        "",
        (*columns("photo", "class", wrap="fold"), *columns("probability", kind="number", wrap="never")),
        tuple(lines),
    )


def _photos(named: Sequence[Path]) -> list[Path]:
    """Return the photos that are named, with those of folders in their place."""
    photos: list[Path] = []
    for path in named:
        inside = list(walk_pictures(path)) if path.is_dir() else [path]
        if not inside:
            raise UserError(f"the folder {path} holds no picture; name a photo or a folder of photos")
        photos += inside
    return photos


def _decoded(path: Path) -> np.ndarray | str:
    try:
        return read_image(path)
    except UserError as error:
        return str(error)
