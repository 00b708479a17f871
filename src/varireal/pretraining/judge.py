"""Train the judge of the demo's edits on renders of its own; ``python -m varireal.pretraining.judge``.

Its pictures come from ``varireal.pretraining.images --seed 1``: no other model has seen them.
"""

from __future__ import annotations

from pathlib import Path

import click
import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from varireal.io import write_json
from varireal.pretraining.augment import channels_first, paste, random_affine, warp
from varireal.pretraining.clip import scene_answers
from varireal.pretraining.fresh import fresh_photos
from varireal.pretraining.images import Bank, ImageSet, load_bank, load_images
from varireal.pretraining.judge_net import NAMES, Judge, JudgeNet, object_picture
from varireal.pretraining.loop import LoopSettings, Step, TrainingLoop, prepare_process
from varireal.pretraining.palette import nearest_palette_color
from varireal.seeding import forked_torch_rng
from varireal.world.vocabulary import COLORS

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

    def loss(self, step: Step) -> dict[str, Tensor]:
        """Return the sum of the three heads' cross entropies and, for the log, each one."""
        rng, count = step.rng, self.batch_size
        chosen = rng.integers(len(self.data.images), size=count)
        pasted, bank = rng.random(count) < PASTE_SHARE, rng.integers(len(self.places), size=count)
        masks = torch.from_numpy(self.data.masks[chosen])[:, None] > 127
        places = channels_first(torch.from_numpy(self.places[bank]))
        pictures = channels_first(torch.from_numpy(self.data.images[chosen]))
        pictures = self._vary(paste(pictures, masks, places, torch.from_numpy(pasted)), step)
        objects = self._vary(channels_first(torch.from_numpy(self.objects[chosen])), step)
        answers = {
            "class": self.classes[chosen],
            "place": np.where(pasted, self.place_of_bank[bank], self.place[chosen]),
            "surface": self.surface[chosen],
        }
        logits = self.net(pictures, objects)
        losses = {
            name: F.cross_entropy(logits[name], torch.from_numpy(answers[name]), ignore_index=-1) for name in NAMES
        }
        return {"loss": sum(losses.values()), **losses}

    def _vary(self, pictures: Tensor, step: Step) -> Tensor:
        """Flip, zoom, shift and turn the pictures, and blur some of them."""
        pictures = warp(pictures, random_affine(len(pictures), step.generator, turn_degrees=6.0))
        blurred = F.avg_pool2d(F.pad(pictures, (1, 1, 1, 1), mode="replicate"), 3, 1)
        chosen = torch.rand(len(pictures), 1, 1, 1, generator=step.generator) < BLUR_SHARE
        return torch.where(chosen, blurred, pictures)


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
@click.option("--images", type=click.Path(path_type=Path), default=IMAGES, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=Path("models/demo/judge"), show_default=True)
@click.option("--state", type=click.Path(path_type=Path), default=Path("models/demo/.training"), show_default=True)
@click.option("--metrics", type=click.Path(path_type=Path), default=Path("models/demo/metrics/judge.json"))
@click.option("--minutes", default=10.0, show_default=True, help="Training time.")
@click.option("--batch-size", default=32, show_default=True)
@click.option("--learning-rate", default=2e-3, show_default=True)
@click.option("--threads", default=1, show_default=True)
@click.option("--seed", default=0, show_default=True)
def main(
    images: Path,
    out: Path,
    state: Path,
    metrics: Path,
    minutes: float,
    batch_size: int,
    learning_rate: float,
    threads: int,
    seed: int,
) -> None:
    """Train the judge of the demo's edits from nothing."""
    prepare_process(threads)
    cv2.setNumThreads(threads)
    with forked_torch_rng("judge", seed):
        net = JudgeNet()
    settings = LoopSettings(
        "judge", seed, batch_size, minutes=minutes, learning_rate=learning_rate, hold=0.2, weight_decay=0.02
    )
    task = JudgeTask(net, load_images(images, "train"), load_bank(images), batch_size)
    net.to(memory_format=torch.channels_last).train()

    def export() -> None:
        Judge(net).save(out)
        net.train()

    history = TrainingLoop(settings, {"judge": net}, task.loss, state, export).run()
    judge = Judge.load(out)
    figures = {
        "parameters": sum(parameter.numel() for parameter in net.parameters()),
        "held_out": accuracies(judge, load_images(images, "held_out")),
        "photos": accuracies(judge, fresh_photos("judge", 30)),
        "history": history,
    }
    write_json(metrics, figures)


if __name__ == "__main__":
    main()
