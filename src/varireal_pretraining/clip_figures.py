"""Figures of the demo CLIP: as a classifier, as the filter of edits, and what fine-tuning adds.

``python -m varireal_pretraining.clip_figures``; no network has seen the photos.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from varireal import paths
from varireal.base.files import write_json
from varireal.cli import run_command
from varireal.config import TrainConfig, load_params
from varireal.datasets.world.vocabulary import CLASSES, COLORS, DOMAIN_WORD, MATERIALS, PLACES, STRUCTURE
from varireal.networks.clip import Clip, load_clip
from varireal.prompts.templates import class_prompt, edit_prompt
from varireal.training.data import LabelledImages
from varireal.training.loop import fine_tune, look_at
from varireal.training.lora import add_lora, remove_lora
from varireal.training.steps import pools
from varireal_pretraining.clip import OUT
from varireal_pretraining.images import IMAGES, RenderedSet, fresh_photos, load_images
from varireal_pretraining.loop import (
    METRICS,
    WORKSPACE,
    count_parameters,
    path_option,
    process_options,
    read_checkpoint,
)
from varireal_pretraining.sentences import family_of_class

CLASS_SENTENCES = [class_prompt(name, DOMAIN_WORD) for name in CLASSES]
STRUCTURE_SENTENCES = [f"a photo of an aircraft with {words}" for words in STRUCTURE.values()]


def photo_figures(clip: Clip, photos: RenderedSet) -> dict[str, Any]:
    """Return top-1 shares without fine-tuning: of names, of families of names, of descriptions of the structure."""
    features = _features(clip, photos.images)
    labels = np.array([CLASSES.index(scene.class_name) for scene in photos.scenes])
    named = (features @ clip.encode_texts(CLASS_SENTENCES).T).argmax(1).numpy()
    described = (features @ clip.encode_texts(STRUCTURE_SENTENCES).T).argmax(1).numpy()
    family = family_of_class()
    return {
        "photos": len(labels),
        "top1": float((named == labels).mean()),
        "family_top1": float((family[named] == family[labels]).mean()),
        "structure_top1": float((described == labels).mean()),
        "top1_per_class": {name: float((named[labels == i] == i).mean()) for i, name in enumerate(CLASSES)},
    }


def filter_figures(clip: Clip, scenes: RenderedSet) -> dict[str, float]:
    """Return how often CLIP sees the true place, colour and material among all, asked as the filter asks.

    The sentences name each picture's own class; two-coloured liveries are left out.
    """
    features = _features(clip, scenes.images)
    questions = {
        "background": (dict(PLACES), "place"),
        "color": ({name: name for name in COLORS}, "color"),
        "texture": ({name: f"{name} textured" for name in MATERIALS}, "material"),
    }
    figures = {}
    for attribute, (phrases, field) in questions.items():
        hits = []
        for class_name in CLASSES:
            sentences = [edit_prompt(attribute, phrase, class_name, DOMAIN_WORD) for phrase in phrases.values()]
            texts = clip.encode_texts(sentences)
            for feature, scene in zip(features, scenes.scenes, strict=True):
                true = getattr(scene, field)
                if scene.class_name == class_name and true is not None and not scene.accent:
                    hits.append(list(phrases)[int((texts @ feature).argmax())] == true)
        figures[attribute] = float(np.mean(hits))
    return figures


def fine_tuned_top1(
    clip: Clip, train: RenderedSet, test: RenderedSet, config: TrainConfig, seeds: Sequence[int]
) -> list[float]:
    """Return the top-1 share on ``test`` after the study's fine-tuning on ``train``, for each seed.

    ``train`` also stands for the val split, so that the test pictures choose nothing.
    """
    tokens = clip.tokenize(CLASS_SENTENCES)
    fitted, asked = _training_set(train), _training_set(test)
    shares = []
    for seed in seeds:
        model = add_lora(clip.model, config.lora, "demo figures", seed)
        fine_tune(clip, model, tokens, pools(fitted, None, config), fitted, config, (seed,), lambda _: None)
        shares.append(look_at(clip, model, tokens, asked)[1] / 100)
        remove_lora(model)
    return shares


def _training_set(photos: RenderedSet) -> LabelledImages:
    labels = torch.tensor([CLASSES.index(scene.class_name) for scene in photos.scenes])
    return LabelledImages(torch.from_numpy(np.array(photos.images)), labels)


def _features(clip: Clip, images: np.ndarray) -> torch.Tensor:
    return torch.cat([clip.encode_images(images[start : start + 64]).cpu() for start in range(0, len(images), 64)])


@click.command()
@path_option("--model", OUT)
@path_option("--images", IMAGES)
@path_option("--metrics", METRICS / "clip.json")
@path_option("--state", WORKSPACE)
@click.option("--seeds", default=3, show_default=True, help="Fine-tunings.")
@process_options()
def command(model: Path, images: Path, metrics: Path, state: Path, seeds: int) -> None:
    """Measure the demo CLIP with the fine-tuning settings of params.yaml."""
    clip = load_clip(f"local-dir:{model}", None, torch.device("cpu"), torch.float32)
    config = load_params(paths.PARAMS).train
    train, test = fresh_photos("clip train", 16), fresh_photos("clip test", 60)
    figures: dict[str, Any] = {
        "parameters": count_parameters(clip.model),
        "zero_shot": photo_figures(clip, test),
        "filter_sees": filter_figures(clip, load_images(images, "held_out")),
        "fine_tuned": {
            "photos_per_class": 16,
            "steps": config.max_steps,
            "top1": fine_tuned_top1(clip, train, test, config, range(seeds)),
        },
        "history": read_checkpoint(state / "clip.safetensors")["history"],
    }
    write_json(metrics, figures)


if __name__ == "__main__":
    run_command(command)
