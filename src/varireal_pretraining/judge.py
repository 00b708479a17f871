"""Train the judge of the demo's edits on renders of its own; ``python -m varireal_pretraining.judge``.

Its pictures come from ``varireal_pretraining.images --seed 1``: no other model has seen them.
"""

from __future__ import annotations

from pathlib import Path

import click
import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from varireal.base.files import write_json
from varireal.base.seeding import forked_torch_rng
from varireal.datasets.world.vocabulary import COLORS
from varireal_pretraining.augment import channels_first, paste, random_affine, warp
from varireal_pretraining.clip import scene_answers
from varireal_pretraining.fresh import fresh_photos
from varireal_pretraining.images import Bank, ImageSet, load_bank, load_images
from varireal_pretraining.judge_net import NAMES, SCENE_SIDE, Judge, JudgeNet, cut_boxes, object_box, object_picture
from varireal_pretraining.loop import Step, TrainingLoop, prepare_process
from varireal_pretraining.options import TrainingOptions, training_options
from varireal_pretraining.palette import nearest_palette_color

IMAGES = Path("models/demo/.training/judge_images")
PASTE_SHARE = 0.5
#: Share of pictures that are blurred a little: edits are softer than renders, and softness shall not be the cue.
BLUR_SHARE = 0.3


class JudgeTask:
    """Draws batches and computes the loss of one step."""

    def __init__(self, net: JudgeNet, data: ImageSet, bank: Bank, batch_size: int) -> None:
        self.net, self.data, self.batch_size = net, data, batch_size
        self.classes, self.place, self.surface = scene_answers(data)
        self.places = np.concatenate(list(bank.places.values()))
        self.place_of_bank = np.repeat(np.arange(len(bank.places)), [len(p) for p in bank.places.values()])
        masks = [mask > 127 for mask in data.masks]
        self.objects = np.stack([object_picture(i, m) for i, m in zip(data.images, masks, strict=True)])
        self.boxes = torch.tensor([object_box(mask) for mask in masks])

    def loss(self, step: Step) -> dict[str, Tensor]:
        """Return the sum of the three heads' cross entropies and, for the log, each one."""
        rng, count = step.rng, self.batch_size
        chosen = rng.integers(len(self.data.images), size=count)
        pasted, bank = rng.random(count) < PASTE_SHARE, rng.integers(len(self.places), size=count)
        masks = torch.from_numpy(self.data.masks[chosen])[:, None] > 127
        places = channels_first(torch.from_numpy(self.places[bank]))
        pictures = channels_first(torch.from_numpy(self.data.images[chosen]))
        pictures = paste(pictures, masks, places, torch.from_numpy(pasted))
        plain = rng.random(count) < plain_share(step.progress)
        colors = torch.from_numpy(rng.uniform(0, 255, (count, 3, 1, 1)).astype(np.float32)).expand_as(pictures)
        pictures = paste(pictures, masks, colors, torch.from_numpy(plain))
        objects = channels_first(torch.from_numpy(self.objects[chosen]))
        view = random_affine(count, step.generator, turn_degrees=6.0)
        seen = {
            "place": warp(F.avg_pool2d(pictures, pictures.shape[-1] // SCENE_SIDE), view),
            "class": self._blur(cut_boxes(pictures, self.boxes[chosen], view), step),
            "surface": self._blur(warp(objects, view), step),
        }
        answers = {
            "class": self.classes[chosen],
            "place": np.where(plain, -1, np.where(pasted, self.place_of_bank[bank], self.place[chosen])),
            "surface": self.surface[chosen],
        }
        logits = self.net(seen)
        losses = {
            name: F.cross_entropy(logits[name], torch.from_numpy(answers[name]), ignore_index=-1) for name in NAMES
        }
        return {"loss": sum(losses.values()), **losses}

    def _blur(self, pictures: Tensor, step: Step) -> Tensor:
        blurred = F.avg_pool2d(F.pad(pictures, (1, 1, 1, 1), mode="replicate"), 3, 1)
        chosen = torch.rand(len(pictures), 1, 1, 1, generator=step.generator) < BLUR_SHARE
        return torch.where(chosen, blurred, pictures)


def plain_share(progress: float) -> float:
    """Return the share of objects on a plain colour: most at first, so that shapes are learned, none after a half."""
    return max(0.0, 0.8 - 1.6 * progress)


def accuracies(judge: Judge, data: ImageSet) -> dict[str, float]:
    """Return the share of pictures that each head names rightly, and that of colours named by the palette rule.

    Surfaces count only where the livery is of one colour or one material.
    """
    masks = [mask > 127 for mask in data.masks]
    found = judge.predict(list(data.images), masks)
    true = {
        "class": [scene.class_name for scene in data.scenes],
        "place": [scene.place for scene in data.scenes],
        "surface": [None if scene.accent else scene.color or scene.material for scene in data.scenes],
    }
    figures = {}
    for name, answers in true.items():
        hits = [guess == answer for guess, answer in zip(found[name], answers, strict=True) if answer is not None]
        figures[name] = float(np.mean(hits))
    for kind in ("color", "material"):
        rows = [i for i, s in enumerate(data.scenes) if getattr(s, kind) is not None and s.accent is None]
        figures[kind] = float(np.mean([found["surface"][i] == getattr(data.scenes[i], kind) for i in rows]))
    plain = [i for i, s in enumerate(data.scenes) if s.color is not None and s.accent is None]
    nearest = [nearest_palette_color(data.images[i], masks[i], COLORS) == data.scenes[i].color for i in plain]
    return figures | {"color_nearest_in_lab": float(np.mean(nearest))}


@click.command()
@training_options(
    TrainingOptions(
        images=IMAGES,
        out=Path("models/demo/judge"),
        metrics=Path("models/demo/metrics/judge.json"),
        minutes=20.0,
        batch_size=32,
        learning_rate=2e-3,
    )
)
def main(options: TrainingOptions) -> None:
    """Train the judge of the demo's edits from nothing."""
    prepare_process(options.threads)
    cv2.setNumThreads(options.threads)
    with forked_torch_rng("judge", options.seed):
        net = JudgeNet()
    settings = options.loop_settings("judge", hold=0.2, weight_decay=0.02)
    task = JudgeTask(net, load_images(options.images, "train"), load_bank(options.images), options.batch_size)
    net.to(memory_format=torch.channels_last).train()

    def export() -> None:
        Judge(net).save(options.out)
        net.train()

    history = TrainingLoop(settings, {"judge": net}, task.loss, options.state, export).run()
    judge = Judge.load(options.out)
    figures = {
        "parameters": sum(parameter.numel() for parameter in net.parameters()),
        "held_out": accuracies(judge, load_images(options.images, "held_out")),
        "photos": accuracies(judge, fresh_photos("judge", 30)),
        "history": history,
    }
    write_json(options.metrics, figures)


if __name__ == "__main__":
    main()
