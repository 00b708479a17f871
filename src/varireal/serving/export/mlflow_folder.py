"""The merged model as an MLflow model: its weights are safetensors, its code lies beside them, nothing is pickled."""

from __future__ import annotations

import base64
import importlib.metadata
from pathlib import Path

import varireal
from varireal.base.files import write_json
from varireal.networks.clip import Clip
from varireal.serving.adapter import AdapterDescription
from varireal.serving.export import served_model
from varireal.serving.export.folder import ABOUT
from varireal.serving.export.open_clip_folder import write_open_clip

# what served_model.py imports, through this package or by itself
REQUIREMENTS = ("mlflow", "numpy", "open_clip_torch", "pandas", "pillow", "pydantic", "pyyaml", "torch", "torchvision")


def write_mlflow(folder: Path, clip: Clip, description: AdapterDescription, scratch: Path) -> None:
    """Write the model into an empty folder; ``scratch`` is another one, for the weights on their way.

    The signature's columns and parameter are those of :class:`varireal.serving.export.served_model.PhotoClassifier`.
    """
    import mlflow
    import pandas as pd
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import Array

    write_open_clip(scratch / served_model.CLIP, clip, description)
    columns = [ColSpec(DataType.string, name, required=False) for name in (served_model.IMAGE, served_model.PATH)]
    answers = [
        ColSpec(DataType.string, "class"),
        ColSpec(DataType.double, "probability"),
        ColSpec(Array(DataType.string), "classes"),
        ColSpec(Array(DataType.double), "probabilities"),
    ]
    top = ParamSpec(served_model.TOP, DataType.long, default=served_model.DEFAULT_TOP)
    example = pd.DataFrame({served_model.IMAGE: [base64.b64encode(_grey_picture(clip.image_size)).decode()]})
    mlflow.pyfunc.save_model(
        folder,
        python_model=served_model.__file__,
        artifacts={served_model.CLIP: str(scratch / served_model.CLIP)},
        code_paths=[str(Path(varireal.__file__).parent)],
        signature=ModelSignature(Schema(columns), Schema(answers), ParamSchema([top])),
        input_example=example,
        pip_requirements=[f"{name}=={importlib.metadata.version(name)}" for name in REQUIREMENTS],
    )
    write_json(folder / ABOUT, {"export": "mlflow", **description.model_dump(mode="json")})


def _grey_picture(side: int) -> bytes:
    import numpy as np

    from varireal.base.files import encode_png

    return encode_png(np.full((side, side, 3), 128, np.uint8))
