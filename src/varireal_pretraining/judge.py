"""Trains the judge of the demo's edits on renders of its own; ``python -m varireal_pretraining.judge``.

Its pictures come from ``varireal_pretraining.images --seed 1``: no other model has seen them.
"""

from __future__ import annotations

import click
import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from varireal.base.seeding import forked_torch_rng
from varireal.cli import run_command
from varireal.datasets.world.vocabulary import COLORS
from varireal_pretraining.figures import nearest_palette_color
from varireal_pretraining.images import Bank, RenderedSet, fresh_photos, load_bank, load_images
from varireal_pretraining.judge_net import (
    JUDGE,
    NAMES,
    SCENE_SIDE,
    Judge,
    JudgeNet,
    cut_boxes,
    object_box,
    object_picture,
)
from varireal_pretraining.loop import (
    METRICS,
    WORKSPACE,
    TrainingLoop,
    TrainingSettings,
    TrainingStep,
    count_parameters,
    training_options,
)
from varireal_pretraining.views import SceneMixer, channels_first, random_affine, scene_answers, warp

IMAGES = WORKSPACE / "judge_images"
#: Shares of objects on another place and, at first, on a plain colour.
PASTE_SHARE, PLAIN_SHARE = 0.5, 0.8
#: Share of pictures that are blurred a little: edits are softer than renders, and softness shall not be the cue.
BLUR_SHARE = 0.3


class JudgeTask:
    """Draws batches and computes the loss of one step."""

    def __init__(self, net: JudgeNet, data: RenderedSet, bank: Bank, batch_size: int) -> None:
        self.net, self.data, self.batch_size = net, data, batch_size
        self.mixer = SceneMixer(data, bank, PASTE_SHARE, PLAIN_SHARE)
        self.classes, self.place, self.surface = scene_answers(data)
        masks = [mask > 127 for mask in data.masks]
        self.objects = np.stack([object_picture(i, m) for i, m in zip(data.images, masks, strict=True)])
        self.boxes = torch.tensor([object_box(mask) for mask in masks])

    def loss(self, step: TrainingStep) -> dict[str, Tensor]:
        """Return the sum of the three heads' cross entropies and, for the log, each one."""
        chosen = step.rng.integers(len(self.data.images), size=self.batch_size)
        mixed = self.mixer.draw(chosen, step)
        view = random_affine(self.batch_size, step.generator, turn_degrees=6.0)
        seen = {
            "place": warp(F.avg_pool2d(mixed.pictures, mixed.pictures.shape[-1] // SCENE_SIDE), view),
            "class": self._blur(cut_boxes(mixed.pictures, self.boxes[chosen], view), step),
            "surface": self._blur(warp(channels_first(self.objects[chosen]), view), step),
        }
        answers = {
            "class": self.classes[chosen],
            "place": mixed.places(self.place[chosen]),
            "surface": self.surface[chosen],
        }
        logits = self.net(seen)
        losses = {
            name: F.cross_entropy(logits[name], torch.from_numpy(answers[name]), ignore_index=-1) for name in NAMES
        }
        return {"loss": torch.stack(list(losses.values())).sum(), **losses}

    def _blur(self, pictures: Tensor, step: TrainingStep) -> Tensor:
        blurred = F.avg_pool2d(F.pad(pictures, (1, 1, 1, 1), mode="replicate"), 3, 1)
        chosen = torch.rand(len(pictures), 1, 1, 1, generator=step.generator) < BLUR_SHARE
        return torch.where(chosen, blurred, pictures)


def accuracies(judge: Judge, data: RenderedSet) -> dict[str, float]:
    """Return the share of pictures that each head names rightly, and that of colours named by the palette rule.

    Surfaces count only where the livery is of one colour or one material.
    """
    masks = [mask > 127 for mask in data.masks]
    guesses = judge.predict(list(data.images), masks)
    true = {
        "class": [scene.class_name for scene in data.scenes],
        "place": [scene.place for scene in data.scenes],
        "surface": [None if scene.accent else scene.color or scene.material for scene in data.scenes],
    }
    figures = {}
    for name, answers in true.items():
        hits = [guess == answer for guess, answer in zip(guesses[name], answers, strict=True) if answer is not None]
        figures[name] = float(np.mean(hits))
    for kind in ("color", "material"):
        rows = [i for i, s in enumerate(data.scenes) if getattr(s, kind) is not None and s.accent is None]
        figures[kind] = float(np.mean([guesses["surface"][i] == getattr(data.scenes[i], kind) for i in rows]))
    plain = [i for i, s in enumerate(data.scenes) if s.color is not None and s.accent is None]
    nearest = [nearest_palette_color(data.images[i], masks[i], COLORS) == data.scenes[i].color for i in plain]
    return figures | {"color_nearest_in_lab": float(np.mean(nearest))}


@click.command()
@training_options(
    TrainingSettings(
        "judge", 32, 2e-3, 20.0, out=JUDGE, metrics=METRICS / "judge.json", images=IMAGES, hold=0.2, weight_decay=0.02
    )
)
def command(settings: TrainingSettings) -> None:
    """Trains the judge of the demo's edits from nothing."""
    cv2.setNumThreads(torch.get_num_threads())
    with forked_torch_rng("judge", settings.seed):
        net = JudgeNet()
    task = JudgeTask(net, load_images(settings.images, "train"), load_bank(settings.images), settings.batch_size)
    net.to(memory_format=torch.channels_last).train()

    def export() -> None:
        Judge(net).save(settings.out)
        net.train()

    history = TrainingLoop(settings, {"judge": net}, task.loss, export).run()
    judge = Judge.load(settings.out)
    shares = {
        "held_out": accuracies(judge, load_images(settings.images, "held_out")),
        "photos": accuracies(judge, fresh_photos("judge", 30)),
    }
    settings.write_figures(history, count_parameters(net), **shares)


if __name__ == "__main__":
    run_command(command)
