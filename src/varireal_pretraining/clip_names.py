"""Attaches the class names of the demo CLIP loosely; ``python -m varireal_pretraining.clip_names``, after ``clip``.

Web captions rarely name a fine-grained class, and often name a sibling instead. A tower that has learned from exact
structure would otherwise know the names as well as it can see the classes, and fine-tuning would have nothing to
correct. So the text tower alone is trained on: the names on a few captioned pictures, many of whose captions name a
sibling; everything else (families, structure, places, surfaces) as before. The image tower stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import torch
from torch import Tensor

from varireal.base.seeding import generator
from varireal.cli import run_command
from varireal.datasets.world.vocabulary import CLASSES
from varireal_pretraining.clip import OUT, encode_groups, export_clip, group_loss, normalize
from varireal_pretraining.images import RenderedSet, load_images
from varireal_pretraining.loop import (
    LibraryModel,
    TrainingLoop,
    TrainingSettings,
    TrainingStep,
    path_option,
    training_options,
)
from varireal_pretraining.sentences import family_of_class
from varireal_pretraining.views import channels_first, scene_answers


@dataclass(frozen=True)
class NameCaptions:
    """The pictures whose caption gives a class name: their indices and the class that the caption names, (N,)."""

    pictures: np.ndarray
    named: np.ndarray


def draw_captions(classes: np.ndarray, per_class: int, confused_share: float, seed: int) -> NameCaptions:
    """Choose pictures of each class and the names that their captions give.

    Args:
        classes: true class index of every picture, (N,).
        per_class: captions of each class.
        confused_share: probability, in [0, 1], that a caption names a sibling (of the same family), if there is one.
    """
    rng, family = generator("clip captions", seed), family_of_class()
    pictures, named = [], []
    for index in range(len(CLASSES)):
        siblings = np.flatnonzero((family == family[index]) & (np.arange(len(family)) != index))
        for picture in rng.choice(np.flatnonzero(classes == index), per_class, replace=False):
            confused = len(siblings) > 0 and rng.random() < confused_share
            pictures.append(picture)
            named.append(rng.choice(siblings) if confused else index)
    return NameCaptions(np.array(pictures), np.array(named))


@torch.no_grad()
def image_features(model: LibraryModel, images: np.ndarray) -> Tensor:
    """Return the normalised image features of uint8 pictures (N, 128, 128, 3), (N, dimensions)."""
    batches = (channels_first(images[start : start + 128]) for start in range(0, len(images), 128))
    return torch.cat([model.encode_image(normalize(batch), normalize=True) for batch in batches])


class NamesTask:
    """The loss of one step: names on the captioned pictures, all other groups on a batch of any pictures."""

    def __init__(
        self, model: LibraryModel, features: Tensor, data: RenderedSet, captions: NameCaptions, batch_size: int
    ) -> None:
        from open_clip import SimpleTokenizer

        self.model, self.features, self.captions, self.batch_size = model, features, captions, batch_size
        self.classes, self.place, self.surface = scene_answers(data)
        self.tokenizer = SimpleTokenizer(context_length=model.context_length)

    def loss(self, step: TrainingStep) -> dict[str, Tensor]:
        """Return the sum of the groups' cross entropies and, for the log, each one."""
        groups = encode_groups(self.model, self.tokenizer, step.rng)
        chosen = step.rng.integers(len(self.features), size=self.batch_size)
        given = {"place": self.place[chosen], "surface": self.surface[chosen]}
        losses = {}
        for name, (group, text) in groups.items():
            if name == "class":
                pictures, answer = self.captions.pictures, self.captions.named
            else:
                pictures, answer = chosen, given.get(name, group.answer[self.classes[chosen]])
            losses[name] = group_loss(self.features[pictures] @ text, torch.from_numpy(answer))
        return {"loss": torch.stack(list(losses.values())).sum(), **losses}


@click.command()
@training_options(TrainingSettings("clip_names", 256, 5e-4, steps=250, warmup_steps=20, weight_decay=0.0))
@path_option("--clip folder", OUT)
@click.option("--captions", default=16, show_default=True, help="Captioned pictures of each class.")
@click.option("--confused-share", default=0.6, show_default=True, help="Captions that name a sibling.")
def command(settings: TrainingSettings, folder: Path, captions: int, confused_share: float) -> None:
    """Attach the class names of the CLIP in --clip loosely and write it there again; its image tower stays."""
    import open_clip

    model: LibraryModel = open_clip.create_model(f"local-dir:{folder}").float().eval()
    model.requires_grad_(False)
    data = load_images(settings.images, "train")
    features = image_features(model, data.images)
    for part in (model.transformer, model.token_embedding, model.ln_final):
        part.requires_grad_(True)
    model.positional_embedding.requires_grad_(True)
    model.text_projection.requires_grad_(True)
    drawn = draw_captions(scene_answers(data)[0], captions, confused_share, settings.seed)
    task = NamesTask(model, features, data, drawn, settings.batch_size)
    TrainingLoop(settings, {"clip": model}, task.loss).run()
    export_clip(model, folder)


if __name__ == "__main__":
    run_command(command)
