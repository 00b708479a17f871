"""The merged model in formats of others: a folder that plain open_clip loads, and an MLflow model around it."""

from __future__ import annotations

import base64
import copy
import importlib.metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import varireal
from varireal.base.files import encode_png, write_json
from varireal.networks.clip_weights import CONFIG, WEIGHTS
from varireal.serving.adapter import AdapterDescription
from varireal.serving.export import served_model
from varireal.serving.export.folder import ABOUT

if TYPE_CHECKING:
    from varireal.training.classifiers import Classifier

PREPROCESSING = ("mean", "std", "interpolation", "resize_mode", "fill_color")  # the size follows from the model
# what served_model.py imports, through this package or by itself
REQUIREMENTS = ("mlflow", "numpy", "open_clip_torch", "pandas", "pillow", "pydantic", "pyyaml", "torch", "torchvision")


def write_open_clip(folder: Path, clip: Classifier, description: AdapterDescription) -> None:
    """Write a merged model (``serving.adapter.load_merged``) as a folder that ``local-dir:<folder>`` names."""
    import torch
    from safetensors.torch import save_file

    from varireal.training.attention import joined_state

    state = joined_state(clip.model)
    weights = {
        name: tensor.to("cpu", torch.float32 if tensor.is_floating_point() else None).contiguous()
        for name, tensor in state.items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights, folder / WEIGHTS[0])
    (folder / WEIGHTS[0]).chmod(0o644)
    write_json(folder / CONFIG, _configuration(clip.model, description.clip.model))
    write_json(folder / ABOUT, {"export": "open_clip", **description.as_json()})


def _configuration(model: Any, name: str) -> dict[str, Any]:
    import open_clip
    from open_clip.transformer import QuickGELU

    settings = copy.deepcopy(open_clip.get_model_config(name))
    assert settings is not None  # as the model was loaded by this name
    if any(isinstance(module, QuickGELU) for module in model.modules()):
        settings["quick_gelu"] = True  # of a plain name with OpenAI's weights only the tag says so, which is lost here
    preprocessing = model.visual.preprocess_cfg
    kept = {key: preprocessing[key] for key in PREPROCESSING if key in preprocessing}
    return {"model_cfg": settings, "preprocess_cfg": kept}


def write_mlflow(folder: Path, clip: Classifier, description: AdapterDescription, scratch: Path) -> None:
    """Write a merged model into an empty folder as an MLflow model, without pickles.

    ``scratch`` is another empty folder, for the weights on their way. The signature's columns and parameter are those
    of :class:`varireal.serving.export.served_model.PhotoClassifier`.
    """
    import mlflow
    import pandas as pd
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec
    from mlflow.types.schema import Array

    write_open_clip(scratch / served_model.CLIP, clip, description)
    columns: list[ColSpec | TensorSpec] = [
        ColSpec(DataType.string, name, required=False) for name in (served_model.IMAGE, served_model.PATH)
    ]
    answers: list[ColSpec | TensorSpec] = [
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
    write_json(folder / ABOUT, {"export": "mlflow", **description.as_json()})


def _grey_picture(side: int) -> bytes:
    return encode_png(np.full((side, side, 3), 128, np.uint8))
