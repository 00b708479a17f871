"""The code of an exported MLflow model. MLflow copies this file into the model and runs it when the model is loaded."""

from __future__ import annotations

import base64
import binascii
import io
import os
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException

from varireal.base.files import decode_image, read_json
from varireal.errors import UserError

CLIP = "clip"  # the artifact: a folder of open_clip with varireal.json
IMAGE, PATH = "image", "path"  # input columns
TOP, DEFAULT_TOP = "top", 5  # the parameter
PHOTOS = "VARIREAL_PHOTOS"  # environment variable: the folder that paths are relative to; unset: paths are refused


class PhotoClassifier(mlflow.pyfunc.PythonModel):
    """Answers photos with their likeliest classes.

    A row of the input has the photo's file in base64 (``image``), or its name below the folder that the environment
    variable VARIREAL_PHOTOS names (``path``). A row of the output has ``class`` and ``probability`` of the likeliest
    class, and ``classes`` and ``probabilities`` of the ``top`` likeliest.
    """

    def load_context(self, context: Any) -> None:
        """Load the model from the artifact."""
        from varireal.compute.devices import resolve_device
        from varireal.config import ComputeConfig
        from varireal.networks.clip import load_clip
        from varireal.serving.adapter import Labels
        from varireal.serving.classify import Classifier
        from varireal.serving.export.folder import ABOUT

        folder = Path(context.artifacts[CLIP])
        clip = load_clip(f"local-dir:{folder}", None, resolve_device(ComputeConfig()))
        self._classifier = Classifier(clip, Labels.model_validate(read_json(folder / ABOUT)))

    def predict(  # pyright: ignore[reportIncompatibleMethodOverride]  # the base's annotations lack what it returns
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Return a row of classes per row of the input.

        Raises:
            MlflowException: a row has no photo, or one that cannot be read; the server answers with status 400.
        """
        from varireal.serving.classify import rank_classes

        top = int((params or {}).get(TOP, DEFAULT_TOP))
        if top < 1:
            raise MlflowException.invalid_parameter_value(f"{TOP} = {top}: must be 1 or more")
        try:
            images = [_photo(row, f"row {number}") for number, row in enumerate(model_input.to_dict("records"))]
        except UserError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from error
        answers = []
        for probabilities in self._classifier.probabilities(images):
            ranked = rank_classes(probabilities, self._classifier.classes, top)
            names, shares = [each.name for each in ranked], [each.probability for each in ranked]
            answers.append({"class": names[0], "probability": shares[0], "classes": names, "probabilities": shares})
        return pd.DataFrame(answers)


def _photo(row: dict[Any, Any], where: str) -> Any:
    """Return a row's photo, uint8 (H, W, 3).

    Raises:
        UserError: the row names none, or one that cannot be read.
    """
    given = {name: row[name] for name in (IMAGE, PATH) if isinstance(row.get(name), str)}
    if len(given) != 1:
        raise UserError(f"{where}: give either {IMAGE} (the photo's file in base64) or {PATH}, found {list(given)}")
    if IMAGE in given:
        try:
            return decode_image(io.BytesIO(base64.b64decode(given[IMAGE], validate=True)), f"of {where}")
        except binascii.Error as error:
            raise UserError(f"{where}: {IMAGE} is no base64 ({error})") from error
    root = os.environ.get(PHOTOS)
    if not root:
        raise UserError(f"{where}: {PATH} is not allowed here, as {PHOTOS} names no folder of photos; give {IMAGE}")
    file = (Path(root) / given[PATH]).resolve()
    if not file.is_relative_to(Path(root).resolve()):
        raise UserError(f"{where}: {PATH} {given[PATH]!r} leads out of the folder of photos")
    return decode_image(file, f"{given[PATH]} of {where}")


mlflow.models.set_model(PhotoClassifier())
