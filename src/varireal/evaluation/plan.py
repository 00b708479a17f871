"""What `evaluate` has to do: the test split, one prediction per model, and the keys they are kept under."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from varireal import paths
from varireal.base.files import sha256_file
from varireal.base.manifest import ImageRecord, read_manifest
from varireal.config import ClipConfig, ComputeConfig, Params
from varireal.errors import UserError
from varireal.evaluation.cells import Cell
from varireal.prompts.templates import class_prompt
from varireal.store import content_key
from varireal.training.classifiers import classifier_identity
from varireal.training.plan import ADAPTER_FILES

REVISION = 3  # raised when the meaning of the same inputs changes
PREDICTIONS = "predictions.parquet"  # an item's only file


@dataclasses.dataclass(frozen=True)
class EvaluationSet:
    """The photos and sentences that every model is tested with."""

    clip: ClipConfig
    compute: ComputeConfig
    loss: str  # train.loss: how adapters were trained, so what their scores mean
    batch_size: int
    sentences: tuple[str, ...]  # one per class, in the order of the class indices
    photos: tuple[ImageRecord, ...]  # sorted by image_id


def read_test_split(params: Params, info: dict[str, Any]) -> EvaluationSet:
    """Return the test photos, and how they are predicted.

    Args:
        info: what data/prepared/dataset.json holds.
    """
    return EvaluationSet(
        clip=params.clip,
        compute=params.compute,
        loss=params.train.loss,
        batch_size=params.evaluate.batch_size,
        sentences=tuple(class_prompt(name, info["domain_word"], params.clip.sentence) for name in info["classes"]),
        photos=tuple(photo for photo in read_manifest(paths.PHOTOS_MANIFEST) if photo.split == "test"),
    )


@dataclasses.dataclass(frozen=True)
class ModelPass:
    """One model's pass over the test split; ``adapter`` None is zero-shot."""

    adapter: Path | None
    key: str
    units: int = 1

    @property
    def name(self) -> str:
        """Return its name in a message."""
        return f"the predictions of {self.adapter or 'zero-shot'}"


def plan_predictions(test: EvaluationSet, evaluated: Sequence[Cell]) -> list[ModelPass]:
    """Return a pass per cell; cells with the same adapter bytes share a key.

    Raises:
        UserError: the split test is empty, or CLIP's files are missing.
    """
    if not test.photos:
        raise UserError("the data set has no photo in the split test; give it some (dataset.test_* in params.yaml)")
    shared = {**shared_inputs(test), "sentences": list(test.sentences)}
    plan = []
    for cell in evaluated:
        hashes = [sha256_file(cell.adapter / name) for name in ADAPTER_FILES] if cell.adapter else None
        trained = {"loss": test.loss} if cell.adapter and test.loss != "softmax" else {}
        plan.append(ModelPass(cell.adapter, content_key({**shared, **trained, "adapter": hashes})))
    return plan


def shared_inputs(test: EvaluationSet) -> dict[str, Any]:
    """Return what the key of everything that is measured on the test split holds."""
    return {
        "revision": REVISION,
        "clip": classifier_identity(test.clip),
        "dtype": "float32",  # whatever compute.dtype is: half precision would turn answers that the margin counts
        "batch_size": test.batch_size,
        "photos": [[photo.image_id, photo.sha256, photo.class_index] for photo in test.photos],
    }
