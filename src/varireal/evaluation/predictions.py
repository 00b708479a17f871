"""Predictions of every model for the test photos, as `evaluate` writes them: read once, then counted in many ways."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

from varireal.errors import UserError

if TYPE_CHECKING:
    import numpy as np

NO_SEED = -1  # stands for the missing seed of zero-shot
KEYS = ["source", "attribute", "condition", "seed"]
UNREADABLE = (OSError, ValueError, KeyError)  # what pandas raises where a file does not hold predictions


@dataclasses.dataclass(frozen=True, order=True)
class Model:
    """What was trained, whatever the seed; ``source`` alone for the baselines `real` and `zero-shot`."""

    source: str
    attribute: str = ""
    condition: str = ""
    experiment: str = ""  # of which of two experiments, where two are compared

    @property
    def name(self) -> str:
        """Return the readable name, such as ``color feasible synthetic`` or ``real``."""
        return " ".join(part for part in (self.attribute, self.condition, self.source, self.experiment) if part)

    def with_seed(self, seed: int) -> str:
        """Return the readable name with a seed, if it is one."""
        return self.name if seed == NO_SEED else f"{self.name}, seed {seed}"


REAL, ZERO_SHOT = Model("real"), Model("zero-shot")


@dataclasses.dataclass(frozen=True)
class Predictions:
    """What every model with an answer to every test photo predicted."""

    photos: tuple[str, ...]  # image_ids, sorted
    labels: np.ndarray  # int (photos,): the class of every photo
    by_model: dict[Model, dict[int, np.ndarray]]  # by seed (NO_SEED: zero-shot) the predicted class, int (photos,)
    gaps: dict[tuple[Model, int], str] = dataclasses.field(default_factory=dict)  # others: first photo they lack

    def missing(self, wanted: Mapping[Model, Iterable[int]]) -> str | None:
        """Return in words the first wanted model and seed without an answer to every photo, or None."""
        for model, seeds in wanted.items():
            for seed in seeds:
                if seed not in self.by_model.get(model, {}):
                    return model.with_seed(seed)
        return None

    def right(self, model: Model, seeds: Iterable[int]) -> np.ndarray:
        """Return which photos a model got right: bool (photos, seeds)."""
        import numpy as np

        return np.stack([self.by_model[model][seed] for seed in seeds], axis=1) == self.labels[:, None]

    def confusion(self, model: Model, seeds: Iterable[int], count: int) -> np.ndarray:
        """Return how often a model took each class for each other, int (actual, predicted), over these seeds.

        Args:
            count: of classes.
        """
        import numpy as np
        from sklearn.metrics import confusion_matrix

        answers = [self.by_model[model][seed] for seed in seeds]
        actual = np.tile(self.labels, len(answers))
        return confusion_matrix(actual, np.concatenate(answers), labels=range(count))


def parse_predictions(content: bytes, name: str) -> Predictions:
    """Return the predictions that the bytes of a predictions.parquet hold.

    Args:
        name: of the predictions, for messages.

    Raises:
        OSError, ValueError, KeyError: the file is of another kind, or answers twice for one photo.
        UserError: a photo has two classes.
    """
    import pandas as pd

    table = pd.read_parquet(io.BytesIO(content), columns=["image_id", *KEYS, "class_index", "predicted"])
    table = table.fillna({"attribute": "", "condition": "", "seed": NO_SEED}).astype({"seed": int})
    wide = table.set_index(["image_id", *KEYS])["predicted"].unstack(KEYS).sort_index()
    labels = table.groupby("image_id")["class_index"]
    for photo, count in labels.nunique().items():
        if cast(int, count) > 1:
            raise UserError(f"the predictions of {name} give {photo} two classes; make them anew")
    by_model: dict[Model, dict[int, np.ndarray]] = {}
    gaps = {}
    for source, attribute, condition, seed in sorted(wide.columns):
        model = Model(source, attribute, condition)
        column = cast("pd.Series", wide[source, attribute, condition, seed])
        if column.isna().any():
            gaps[model, int(seed)] = str(column.isna().idxmax())
        else:
            by_model.setdefault(model, {})[int(seed)] = column.to_numpy(dtype=int)
    return Predictions(tuple(wide.index), labels.first().loc[wide.index].to_numpy(dtype=int), by_model, gaps)


def read_predictions(path: Path, wanted: Mapping[Model, Iterable[int]]) -> Predictions:
    """Read the study's predictions.

    Args:
        wanted: the models that must be there, with their seeds.

    Raises:
        UserError: the file is missing or unreadable, or lacks a wanted model, a seed or a photo of one.
    """
    try:
        predictions = parse_predictions(path.read_bytes(), str(path))
    except UNREADABLE as error:
        raise UserError(
            f"{path} does not hold the predictions ({one_line(error)}); make it anew with dvc repro evaluate"
        ) from error
    if (missing := predictions.missing(wanted)) is not None:
        raise UserError(f"{path} lacks predictions of {missing}; make it anew with dvc repro evaluate")
    return predictions


def one_line(error: Exception) -> str:
    """Return an error's message on one line."""
    return " ".join(str(error).split())
