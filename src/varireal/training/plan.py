"""What a train stage has to do: its fine-tunings, their content keys and results. Imports no network library."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, Literal

from varireal import paths
from varireal.base.files import atomic_write_bytes, json_bytes, read_json, read_mapping, sha256_file
from varireal.base.manifest import ImageRecord, read_manifest
from varireal.compute.processes import launched_processes
from varireal.config import ClipConfig, ComputeConfig, Params, TrainConfig
from varireal.errors import UserError
from varireal.prompts.templates import class_prompt
from varireal.store import FolderStore, content_key
from varireal.training.classifiers import check_classifier, classifier_identity

TrainingSource = Literal["real", "synthetic", "real+synthetic"]

REVISION = 3  # raised when the meaning of the same settings changes, so that kept results are not mistaken for new ones
# settings of train that change no result; rounds are counted in max_steps
WITHOUT_EFFECT = {"gradient_checkpointing", "checkpoint_every", "rounds"}
ADAPTER_FILES = ("adapter_model.safetensors", "adapter_config.json")
RESULT = "result.json"  # beside the adapter in the store: best step and curve
DESCRIPTION = "varireal.json"  # beside the adapter in models/adapters: what it was trained on, and its curve


@dataclasses.dataclass(frozen=True)
class TrainingSet:
    """Everything that the fine-tunings of one stage share."""

    clip: ClipConfig
    train: TrainConfig
    compute: ComputeConfig
    run_seed: int  # params.seed
    classes: tuple[str, ...]  # in the order of the class indices
    sentences: tuple[str, ...]  # one per class
    real: tuple[ImageRecord, ...]  # the photos of the split train
    val: tuple[ImageRecord, ...]
    synthetic: tuple[ImageRecord, ...]  # the condition's edits; empty for the real-only baseline

    def description(self) -> dict[str, Any]:
        """Return what every adapter says of its training, as JSON values."""
        return {
            "clip": self.clip.model_dump(mode="json"),
            "clip_weights": classifier_identity(self.clip),
            "train": self.train.model_dump(mode="json"),
            "run_seed": self.run_seed,
            "classes": list(self.classes),
            "sentences": list(self.sentences),
            "images": {"real": len(self.real), "synthetic": len(self.synthetic), "val": len(self.val)},
        }


def read_training_set(params: Params, mix_folder: Path | None) -> TrainingSet:
    """Return what the fine-tunings on a mix share, or those on real photos alone (None); the test split is left out.

    Raises:
        UserError: CLIP's files, a manifest or the data set's description are missing.
    """
    check_classifier(params.clip)
    photos = read_manifest(paths.PHOTOS_MANIFEST)
    info = read_mapping(paths.DATASET_INFO, "classes", "domain_word")
    real = tuple(photo for photo in photos if photo.split == "train")
    return TrainingSet(
        clip=params.clip,
        train=params.train.for_edits(len(real) * params.edit.edits_per_photo),
        compute=params.compute,
        run_seed=params.seed,
        classes=tuple(info["classes"]),
        sentences=tuple(class_prompt(name, info["domain_word"], params.clip.sentence) for name in info["classes"]),
        real=real,
        val=tuple(photo for photo in photos if photo.split == "val"),
        synthetic=() if mix_folder is None else tuple(read_manifest(mix_folder / "manifest.parquet")),
    )


@dataclasses.dataclass(frozen=True)
class FineTuning:
    """One fine-tuning, and the key under which its result is kept."""

    source: TrainingSource
    seed: int
    key: str
    steps: int

    @property
    def name(self) -> str:
        """Return its name in a message."""
        return f"the fine-tuning {self.source} seed {self.seed}"

    @property
    def units(self) -> int:
        """Return its optimisation steps, which are the units of a progress."""
        return self.steps


def fine_tunings(
    training_set: TrainingSet, sources: Sequence[TrainingSource], seeds: Sequence[int]
) -> list[FineTuning]:
    """Return the fine-tunings of a stage; two with the same inputs have the same key, whatever their cell is called.

    Raises:
        UserError: the split train or val is empty, the batch is too small for two origins, the processes cannot share
            it, or CLIP's files are missing.
    """
    for split, rows in (("train", training_set.real), ("val", training_set.val)):
        if not rows:
            raise UserError(
                f"the data set has no photo in the split {split}; give it some (dataset.{split}_* in params.yaml)"
            )
    size, parts = max(launched_processes(), training_set.compute.processes), training_set.train.accumulation_steps
    if parts % size:
        raise UserError(
            f"{size} processes cannot share {parts} parts of a batch; "
            f"set train.accumulation_steps to a multiple of {size}"
        )
    if "real+synthetic" in sources and training_set.train.batch_size < 2:
        raise UserError("train.batch_size = 1 cannot hold a real and a synthetic image; set it to 2 or more")
    train = training_set.train.model_dump(mode="json", exclude=WITHOUT_EFFECT)
    if train["augmentation"]["short_side"] is None:  # as before there was such a setting
        del train["augmentation"]["short_side"]
    shared = {
        "revision": REVISION,
        "clip": classifier_identity(training_set.clip),
        "train": train,
        "dtype": training_set.compute.dtype,
        "run_seed": training_set.run_seed,
        "sentences": list(training_set.sentences),
        "val": _content(training_set.val),
    }
    images = {"real": _content(training_set.real), "synthetic": _content(training_set.synthetic)}
    plan = []
    for source in sources:
        used = {origin: images[origin] for origin in source.split("+")}
        keys = {seed: content_key({**shared, "images": used, "seed": seed}) for seed in seeds}
        plan += [FineTuning(source, seed, key, training_set.train.steps) for seed, key in keys.items()]
    return plan


def _content(records: Sequence[ImageRecord]) -> list[list[str | int]]:
    return [[record.sha256, record.class_index] for record in records]


def write_adapters(folder: Path, plan: Sequence[FineTuning], store: FolderStore, description: dict[str, Any]) -> None:
    """Copy finished fine-tunings to ``<folder>/<source>/seed-<n>/`` (real: ``<folder>/seed-<n>/``).

    ``description`` is what the adapters of the stage share, for varireal.json.
    """
    for item in plan:
        target = adapter_path(folder, item.source, item.seed)
        for name in ADAPTER_FILES:
            atomic_write_bytes(target / name, (store.require(item.key).path / name).read_bytes())
        weights = {"adapter_sha256": sha256_file(target / ADAPTER_FILES[0])}
        about = {**description, **weights, "source": item.source, "seed": item.seed, **read_result(store, item)}
        atomic_write_bytes(target / DESCRIPTION, json_bytes(about))


def adapter_path(folder: Path, source: TrainingSource, seed: int) -> Path:
    """Return the folder of one adapter below the folder of its cell, or of the real-only baseline."""
    return folder / f"seed-{seed}" if source == "real" else folder / source / f"seed-{seed}"


def read_result(store: FolderStore, item: FineTuning) -> dict[str, Any]:
    """Return the best step and the curve of a finished fine-tuning."""
    return read_json(store.require(item.key).path / RESULT)


def metrics(plan: Sequence[FineTuning], store: FolderStore) -> dict[str, Any]:
    """Return the figures of a stage: accuracy on val (percent) by source with its spread over seeds, and all curves."""
    runs = [{"source": item.source, "seed": item.seed, **read_result(store, item)} for item in plan]
    by_source: dict[str, Any] = {}
    for source in dict.fromkeys(item.source for item in plan):
        top1 = [run["val_top1"] for run in runs if run["source"] == source]
        by_source[source] = {
            "val_top1_mean": fmean(top1),
            "val_top1_std": stdev(top1) if len(top1) > 1 else None,
            "seeds": len(top1),
        }
    return {"val": by_source, "runs": runs}
