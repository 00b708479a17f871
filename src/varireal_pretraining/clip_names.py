"""Attach the class names of the demo CLIP loosely; ``python -m varireal_pretraining.clip_names``, after ``clip``.

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
from torch import Tensor, nn

from varireal.base.seeding import generator
from varireal.datasets.world.vocabulary import CLASSES
from varireal_pretraining.augment import channels_first
from varireal_pretraining.clip import export_clip, group_loss, normalize, scene_answers
from varireal_pretraining.images import IMAGES, ImageSet, load_images
from varireal_pretraining.loop import LoopSettings, Step, TrainingLoop, prepare_process
from varireal_pretraining.sentences import attribute_groups, class_groups, family_of_class


@dataclass(frozen=True)
class Captions:
    """The pictures whose caption gives a class name: their indices and the class that the caption names, (N,)."""

    pictures: np.ndarray
    named: np.ndarray


def draw_captions(classes: np.ndarray, per_class: int, confused_share: float, seed: int) -> Captions:
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
    return Captions(np.array(pictures), np.array(named))


@torch.no_grad()
def image_features(model: nn.Module, images: np.ndarray) -> Tensor:
    """Return the normalised image features of uint8 pictures (N, 128, 128, 3), (N, dimensions)."""
    parts = [
        model.encode_image(
            normalize(channels_first(torch.from_numpy(np.array(images[start : start + 128])))), normalize=True
        )
        for start in range(0, len(images), 128)
    ]
    return torch.cat(parts)


class NamesTask:
    """The loss of one step: names on the captioned pictures, all other groups on a batch of any pictures."""

    def __init__(self, model: nn.Module, features: Tensor, data: ImageSet, captions: Captions, batch_size: int) -> None:
        from open_clip import SimpleTokenizer

        self.model, self.features, self.captions, self.batch_size = model, features, captions, batch_size
        self.classes, self.place, self.surface = scene_answers(data)
        self.tokenizer = SimpleTokenizer(context_length=model.context_length)

    def loss(self, step: Step) -> dict[str, Tensor]:
        """Return the sum of the groups' cross entropies and, for the log, each one."""
        groups = class_groups(step.rng) | attribute_groups(step.rng)
        sentences = [sentence for group in groups.values() for sentence in group.sentences]
        text = self.model.encode_text(self.tokenizer(sentences), normalize=True)
        scaled = self.model.logit_scale.exp() * text.T
        chosen = step.rng.integers(len(self.features), size=self.batch_size)
        anywhere, captioned = self.features[chosen] @ scaled, self.features[self.captions.pictures] @ scaled
        given = {"place": self.place[chosen], "surface": self.surface[chosen]}
        losses, start = {}, 0
        for name, group in groups.items():
            span = slice(start, start + len(group.sentences))
            start = span.stop
            if name == "class":
                losses[name] = group_loss(captioned[:, span], torch.from_numpy(self.captions.named))
            else:
                answer = given.get(name, group.answer[self.classes[chosen]])
                losses[name] = group_loss(anywhere[:, span], torch.from_numpy(answer))
        return {"loss": sum(losses.values()), **losses}


@click.command()
@click.option("--images", type=click.Path(path_type=Path), default=IMAGES, show_default=True)
@click.option("--clip", "folder", type=click.Path(path_type=Path), default=Path("models/demo/clip"), show_default=True)
@click.option("--state", type=click.Path(path_type=Path), default=Path("models/demo/.training"), show_default=True)
@click.option("--captions", default=16, show_default=True, help="Captioned pictures of each class.")
@click.option("--confused-share", default=0.6, show_default=True, help="Captions that name a sibling.")
@click.option("--steps", default=250, show_default=True)
@click.option("--batch-size", default=256, show_default=True)
@click.option("--learning-rate", default=5e-4, show_default=True)
@click.option("--threads", default=1, show_default=True)
@click.option("--seed", default=0, show_default=True)
def main(
    images: Path,
    folder: Path,
    state: Path,
    captions: int,
    confused_share: float,
    steps: int,
    batch_size: int,
    learning_rate: float,
    threads: int,
    seed: int,
) -> None:
    """Attach the class names of the CLIP in --clip loosely and write it there again; its image tower stays."""
    import open_clip

    prepare_process(threads)
    model = open_clip.create_model(f"local-dir:{folder}").float().eval()
    model.requires_grad_(False)
    data = load_images(images, "train")
    features = image_features(model, data.images)
    for part in (model.transformer, model.token_embedding, model.ln_final):
        part.requires_grad_(True)
    model.positional_embedding.requires_grad_(True)
    model.text_projection.requires_grad_(True)
    task = NamesTask(
        model, features, data, draw_captions(scene_answers(data)[0], captions, confused_share, seed), batch_size
    )
    settings = LoopSettings(
        "clip_names", seed, batch_size, steps=steps, learning_rate=learning_rate, warmup_steps=20, weight_decay=0.0
    )
    TrainingLoop(settings, {"clip": model}, task.loss, state).run()
    export_clip(model, folder)


if __name__ == "__main__":
    main()
