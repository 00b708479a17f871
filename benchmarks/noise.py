"""How much fine-tunings scatter over seeds, and what intervals a study of which size gets out of that.

    python -m benchmarks.noise --seeds 5 --setting 'learning_rate=0.006 max_steps=20' --setting 'max_steps=60'

Needs a folder where `dvc repro` has run. For every setting (changes of `train.*` in params.yaml, with ``lora_dropout``
for the adapter's own) it fine-tunes on the feasible and on the infeasible edits of one attribute with the same seeds,
asks each model the test photos, and splits the variance of the paired difference into photos, seeds and rest, as the
report does. So settings are chosen by what they make of the noise and not by which side they favour. ``--wrong-labels``
adds the feasible edits with that share of wrong labels: a harm of known cause, which a study should be able to see.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
import yaml
from rich.console import Console

from varireal import paths
from varireal.base.manifest import ATTRIBUTES, read_manifest
from varireal.base.seeding import generator
from varireal.compute.processes import keep_freed_memory
from varireal.config import TrainConfig, load_params
from varireal.evaluation.statistics import CrossedMean, crossed_mean
from varireal.networks.clip import Clip, load_clip
from varireal.tables import Grid, Line, columns, rich_table
from varireal.training.data import LabelledImages, load_images
from varireal.training.loop import fine_tune, scores
from varireal.training.lora import add_lora, remove_lora
from varireal.training.pixels import PixelCache
from varireal.training.plan import TrainingSet, read_training_set
from varireal.training.steps import pools
from varireal.training.towers import set_up_towers, unpadded


def changed(config: TrainConfig, setting: str) -> TrainConfig:
    """Return the settings of training with ``key=value`` pairs laid over them; ``lora_dropout`` is the adapter's."""
    values: dict[str, Any] = {}
    for pair in setting.split():
        key, _, value = pair.partition("=")
        values[key] = yaml.safe_load(value)
    document = config.model_dump(mode="json")
    if "lora_dropout" in values:
        document["lora"]["lora_dropout"] = values.pop("lora_dropout")
    return TrainConfig.model_validate(document | values)


def with_wrong_labels(images: LabelledImages, share: float, classes: int) -> LabelledImages:
    """Return the images with that share of labels replaced by other classes, chosen by a seed of their own."""
    rng, labels = generator("wrong labels", share), images.labels.clone()
    places = rng.permutation(len(labels))[: round(share * len(labels))]
    labels[places] = (labels[places] + torch.from_numpy(rng.integers(1, classes, len(places)))) % classes
    return LabelledImages(images.pixels, labels)


class Bench:
    """CLIP, the photos and the edits, loaded once."""

    def __init__(self, attribute: str, wrong_labels: float) -> None:
        params = load_params(paths.PARAMS)
        sets = {
            name: read_training_set(params, paths.mix_folder(attribute, name)) for name in ("feasible", "infeasible")
        }
        self.base: TrainingSet = sets["feasible"]
        self.clip: Clip = load_clip(self.base.clip.model, self.base.clip.pretrained, "cpu")
        set_up_towers(self.clip.model, self.base.train)
        cache = PixelCache(self.clip, Path(".work"))
        self.real, self.val = (load_images(records, cache) for records in (self.base.real, self.base.val))
        photos = [photo for photo in read_manifest(paths.PHOTOS_MANIFEST) if photo.split == "test"]
        self.test = load_images(photos, cache)
        self.edits = {name: load_images(each.synthetic, cache) for name, each in sets.items()}
        if wrong_labels:
            self.edits["wrong labels"] = with_wrong_labels(self.edits["feasible"], wrong_labels, len(self.base.classes))

    def answers(self, edits: str, config: TrainConfig, seed: int, beside_photos: bool) -> np.ndarray:
        """Return which test photos a fine-tuning gets right, bool (photos,)."""
        seeds = (self.base.run_seed, seed)
        sources = pools(self.real if beside_photos else None, self.edits[edits], config)
        with unpadded(self.clip, self.base.sentences) as tokens:
            model = add_lora(self.clip.model, config.lora, *seeds)
            fine_tune(self.clip, model, tokens, sources, self.val, config, seeds, lambda _: None)
            logits = scores(self.clip, model, tokens, self.test, 64)
            remove_lora(model)
        return (logits.argmax(1) == self.test.labels).numpy()


def line(
    setting: str, answers: dict[str, np.ndarray], other: str, seconds: float, sizes: list[tuple[int, int]]
) -> Line:
    """Return a row of the table: feasible against another kind of edits."""
    difference = answers[other].astype(np.int8) - answers["feasible"].astype(np.int8)
    found: CrossedMean = crossed_mean(difference)
    tops = [100 * answers[name].mean() for name in ("feasible", other)]
    spread = (100 * difference.mean(axis=0)).std(ddof=1)
    widths = [f"±{found.planned(photos, seeds).half_width(0.05):.1f}" for photos, seeds in sizes]
    cells = (f"{tops[0]:.1f}, {tops[1]:.1f}", f"{found.mean:+.1f}", f"{spread:.2f}", f"±{found.half_width(0.05):.1f}")
    return Line((setting or "as in params.yaml", other, *cells, *widths, f"{seconds:.1f}"))


@click.command()
@click.option("--seeds", default=5, show_default=True, help="Fine-tunings of each kind.")
@click.option("--setting", "settings", multiple=True, default=[""], help="Changes of train.*, such as 'max_steps=60'.")
@click.option("--attribute", type=click.Choice(ATTRIBUTES), default="background", show_default=True)
@click.option("--beside-photos", is_flag=True, help="Train on real photos too (source real+synthetic).")
@click.option("--wrong-labels", default=0.0, help="Share of wrong labels of a third kind of edits; 0: none.")
@click.option("--plan", "plans", multiple=True, default=["600x3", "600x5"], help="Sizes to plan for: PHOTOSxSEEDS.")
def main(
    seeds: int, settings: tuple[str, ...], attribute: str, beside_photos: bool, wrong_labels: float, plans: list[str]
) -> None:
    """Print top-1, the paired difference, its spread over seeds and half-widths of 95 % intervals, by setting."""
    torch.set_num_threads(1)
    keep_freed_memory()
    bench = Bench(attribute, wrong_labels)
    sizes = [(int(photos), int(count)) for photos, count in (plan.split("x") for plan in plans)]
    lines = []
    for setting in settings:
        config = changed(bench.base.train, setting)
        start = time.perf_counter()
        answers = {
            name: np.stack([bench.answers(name, config, seed, beside_photos) for seed in range(seeds)], axis=1)
            for name in bench.edits
        }
        seconds = (time.perf_counter() - start) / seeds / len(answers)
        lines += [line(setting, answers, other, seconds, sizes) for other in answers if other != "feasible"]
        print(f"{setting}: {seconds:.1f} s each", file=sys.stderr)
    names = ("top-1", "difference", "sd over seeds", "95 % here", *plans, "s each")
    title = f"{attribute} edits, {len(bench.test)} test photos, {seeds} seeds"
    Console(width=160).print(
        rich_table(Grid(title, (*columns("setting", "against"), *columns(*names, kind="number")), tuple(lines)))
    )


if __name__ == "__main__":
    main()
