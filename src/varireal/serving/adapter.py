"""An adapter's folder as `varireal train` leaves it: what it says of itself is checked against what lies there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from varireal.base.files import read_json, sha256_file
from varireal.config import ClipConfig, ComputeConfig
from varireal.errors import UserError
from varireal.training.classifiers import Classifier, classifier_identity, load_classifier
from varireal.training.plan import ADAPTER_FILES, DESCRIPTION


class Labels(BaseModel):
    """The classes that a model tells apart, and the sentence that stands for each in CLIP's text tower."""

    model_config = ConfigDict(frozen=True)

    classes: Annotated[list[str], Field(min_length=1)]
    sentences: Annotated[list[str], Field(min_length=1)]
    # train.loss: with sigmoid each class is probable by itself
    loss: Literal["softmax", "sigmoid"] = "softmax"

    @model_validator(mode="before")
    @classmethod
    def _loss_of_the_training(cls, told: Any) -> Any:
        train = told.get("train") if isinstance(told, dict) else None
        return {"loss": train["loss"], **told} if isinstance(train, dict) and "loss" in train else told

    @model_validator(mode="after")
    def _one_sentence_a_class(self) -> Labels:
        if len(self.classes) != len(self.sentences):
            raise ValueError(f"{len(self.classes)} classes have {len(self.sentences)} sentences")
        return self


class AdapterDescription(Labels):
    """The part of varireal.json that a prediction needs."""

    clip: ClipConfig
    clip_weights: str  # :func:`varireal.training.classifiers.classifier_identity` of the weights that it was trained on
    adapter_sha256: str  # of adapter_model.safetensors

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values, without the loss that nearly all adapters have."""
        return self.model_dump(mode="json", exclude={"loss"} if self.loss == "softmax" else None)


def read_description(folder: Path) -> AdapterDescription:
    """Read what an adapter says of itself.

    Raises:
        UserError: the folder is no adapter's, or its varireal.json lacks something.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder; name an adapter's, such as models/adapters/real/seed-0")
    missing = [name for name in (*ADAPTER_FILES, DESCRIPTION) if not (folder / name).is_file()]
    if missing:
        raise UserError(
            f"{folder} lacks {', '.join(missing)}; name an adapter's folder, such as models/adapters/real/seed-0"
        )
    path = folder / DESCRIPTION
    try:
        return AdapterDescription.model_validate(read_json(path))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        said = f"{where}: {first['msg']}" if where else first["msg"]
        raise UserError(f"{path} does not describe an adapter ({said}); train it anew (dvc repro)") from error


def load_merged(folder: Path, compute: ComputeConfig) -> tuple[Classifier, AdapterDescription]:
    """Return the classifier with the adapter added to its weights for good, and the adapter's description.

    The attention blocks keep separate projections (:func:`varireal.training.attention.joined_state` undoes that).

    Raises:
        UserError: the adapter or its CLIP is missing, or one of them is not what it was when it was trained.
    """
    description = read_description(folder)
    path = folder / DESCRIPTION
    if sha256_file(folder / ADAPTER_FILES[0]) != description.adapter_sha256:
        raise UserError(
            f"{folder / ADAPTER_FILES[0]} is not the adapter that {path} describes; copy both from one training again"
        )
    key = f"{path}, clip"
    weights = classifier_identity(description.clip, key)
    if weights != description.clip_weights:
        raise UserError(
            f"{folder} was trained on other weights of {description.clip.model} (then "
            f"{_short(description.clip_weights)}, now {_short(weights)}); put those back, or train anew (dvc repro)"
        )
    from varireal.compute.devices import resolve_device, resolve_dtype
    from varireal.training.lora import load_adapter

    device, dtype = resolve_device(compute), resolve_dtype(compute)
    clip = load_classifier(description.clip, len(description.classes), device, dtype, key)
    load_adapter(clip.model, folder).merge_and_unload()
    return clip, description


def _short(identity: str) -> str:
    return identity if ":" in identity else identity[:12]
