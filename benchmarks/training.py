"""What a training step costs beside the network, and how much faster it is than a plain loop.

Needs the photos of the study (`dvc repro prepare`), which are small; the plain loop is measured with copies of the
usual sizes of published data sets too (Oxford Pets: about 500 x 375 pixels, FGVC-Aircraft: about 1024 x 683). The
measured things take turns, so that other work on the machine slows all of them alike; times are processor seconds of
one thread, and their medians are compared.

    python benchmarks/training.py --steps 20
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

import click
import torch
from peft import LoraConfig, get_peft_model
from PIL import Image
from torch.nn import functional
from torchvision.transforms import v2

from varireal import paths
from varireal.base.files import json_bytes, read_json, sha256_file
from varireal.base.manifest import ImageRecord, read_manifest
from varireal.base.seeding import forked_torch_rng
from varireal.compute.processes import keep_freed_memory
from varireal.config import Params, load_params
from varireal.networks.clip import load_clip
from varireal.prompts.templates import class_prompt
from varireal.training.attention import split_attention
from varireal.training.crops import ASPECT_LIMIT
from varireal.training.data import Augmentation, load_images, load_training_images
from varireal.training.loop import fine_tune
from varireal.training.lora import TARGETS, add_lora, trainable_parameters
from varireal.training.pixels import PixelCache
from varireal.training.steps import pools
from varireal.training.towers import unpadded


class PlainLoop:
    """What one writes first: PIL decodes and augments each photo whenever it is drawn, then PEFT's model as it is."""

    def __init__(self, photos: Sequence[ImageRecord], sentences: Sequence[str], params: Params) -> None:
        clip = load_clip(params.clip.model, params.clip.pretrained)
        split_attention(clip.model)
        lora, settings = params.train.lora, params.train.augmentation
        self.model = get_peft_model(
            clip.model,
            LoraConfig(r=lora.r, lora_alpha=lora.lora_alpha, lora_dropout=lora.lora_dropout, target_modules=TARGETS),
        ).train()
        aspect = float(torch.tensor(ASPECT_LIMIT).exp())
        self.augment = v2.Compose(
            [
                v2.RandomResizedCrop(clip.image_size, (settings.crop_scale_min, 1), (1 / aspect, aspect)),
                v2.RandomHorizontalFlip(0.5 if settings.flip else 0.0),
                v2.PILToTensor(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(clip.mean, clip.std),
            ]
        )
        self.clip, self.photos, self.batch_size = clip, photos, params.train.batch_size
        self.tokens = clip.tokenize(sentences)
        self.optimizer = torch.optim.AdamW(trainable_parameters(self.model), lr=params.train.learning_rate)

    def step(self, number: int, paths: Sequence[Path]) -> None:
        """Do one step on the next photos, whose files are the paths."""
        start = number * self.batch_size
        rows = [k % len(self.photos) for k in range(start, start + self.batch_size)]
        batch = [self.photos[row] for row in rows]
        pixels = torch.stack([self.augment(Image.open(paths[row]).convert("RGB")) for row in rows])
        features = self.model.encode_image(pixels, normalize=True)
        texts = self.model.encode_text(self.tokens, normalize=True)
        labels = torch.tensor([photo.class_index for photo in batch])
        loss = functional.cross_entropy(self.clip.logit_scale * features @ texts.T, labels)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        loss.item()


def serve_plain_loop(requests: Connection, *arguments: Any) -> None:
    """Do steps of the plain loop for another process and answer with their seconds, until None comes."""
    loop = PlainLoop(*arguments)
    while request := requests.recv():
        requests.send(seconds(lambda request=request: loop.step(*request)))


def seconds(work: Callable[[], Any]) -> float:
    """Return the processor time of a call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def enlarged(photos: Sequence[ImageRecord], size: str, folder: Path) -> list[Path]:
    """Write the photos as JPEG of a size such as 500x375 and return the files."""
    width, height = map(int, size.split("x"))
    paths = [folder / f"{size}-{number}.jpg" for number in range(len(photos))]
    for photo, path in zip(photos, paths):
        Image.open(photo.path).convert("RGB").resize((width, height), Image.Resampling.BICUBIC).save(path, quality=92)
    return paths


def measure(
    params: Params,
    photos: Sequence[ImageRecord],
    sentences: Sequence[str],
    files: dict[str, list[Path]],
    steps: int,
    plain: Connection,
    short_side: int | None,
) -> dict[str, float]:
    """Return the median seconds of a step of the real loop, the network alone and the plain loop on all files.

    With a ``short_side`` the real loop crops whole photos of that size, from the first of the large files.
    """
    keep_freed_memory()  # as the train stage does
    config = params.train.model_copy(update={"max_steps": steps + 1, "eval_every": steps + 1})
    clip = load_clip(params.clip.model, params.clip.pretrained)
    images = load_images(photos, PixelCache(clip))
    large = zip(photos, next(paths for name, paths in files.items() if name != "own"))
    records = [dataclasses.replace(photo, path=str(path), sha256=sha256_file(path)) for photo, path in large]
    trained = images if short_side is None else load_training_images(records, clip, short_side)
    model = add_lora(clip.model, config.lora, 0)
    parameters = trainable_parameters(model)
    sources = pools(images, images, config)
    positions = [torch.arange(pool.share) % len(images) for pool in sources]
    with forked_torch_rng("benchmark"):
        ready = Augmentation(config.augmentation)(
            torch.cat([pool.images.pixels[rows] for pool, rows in zip(sources, positions)])
        )
    inputs = clip.normalise(ready)
    labels = torch.cat([pool.images.labels[rows] for pool, rows in zip(sources, positions)])
    times: dict[str, list[float]] = {"step": [], "network": [], **{name: [] for name in files}}

    with unpadded(clip, sentences) as tokens:

        def network() -> None:
            features = model.encode_image(inputs, normalize=True)
            texts = model.encode_text(tokens, normalize=True)
            loss = functional.cross_entropy((clip.logit_scale * features @ texts.T).float(), labels)
            torch.autograd.grad(loss, parameters)

        def after_step(_: int) -> None:
            nonlocal mark
            times["step"].append(time.process_time() - mark)
            times["network"].append(seconds(network))
            for name, paths in files.items():
                plain.send((len(times[name]), paths))
                times[name].append(plain.recv())
            mark = time.process_time()

        mark = time.process_time()
        fine_tune(clip, model, tokens, pools(trained, trained, config), images, config, (0, 0), after_step)
    return {name: median(values[1:]) for name, values in times.items()}  # the first ones warm up


@click.command()
@click.option("--steps", type=click.IntRange(min=3), default=20, show_default=True)
@click.option(
    "--photos", "count", type=click.IntRange(min=1), default=64, show_default=True, help="Photos to train on."
)
@click.option("--sizes", default="500x375,1024x683", show_default=True, help="Of the large photos, in pixels.")
@click.option("--short-side", type=click.IntRange(min=8), help="Train on whole photos of so many pixels.")
@click.option("--json", "path", type=click.Path(path_type=Path, dir_okay=False), help="Write the figures there too.")
def main(steps: int, count: int, sizes: str, short_side: int | None, path: Path | None) -> None:
    """Print what a training step costs beside forward and backward, and images a second against a plain loop."""
    torch.set_num_threads(1)
    params = load_params(Path("params.yaml"))
    info = read_json(paths.DATASET_INFO)
    sentences = [class_prompt(name, info["domain_word"]) for name in info["classes"]]
    photos = [photo for photo in read_manifest(paths.PHOTOS_MANIFEST) if photo.split == "train"][:count]
    context = multiprocessing.get_context("fork")  # a process of its own: the allocator's setting shall not help it
    here, there = context.Pipe()
    process = context.Process(target=serve_plain_loop, args=(there, photos, sentences, params), daemon=True)
    process.start()
    with tempfile.TemporaryDirectory() as folder:
        files = {"own": [Path(photo.path) for photo in photos]}
        files |= {size: enlarged(photos, size, Path(folder)) for size in sizes.split(",")}
        found = measure(params, photos, sentences, files, steps, here, short_side)
    here.send(None)
    process.join()
    batch = params.train.batch_size
    labels = {"network": "forward + backward", "step": "training step", "own": "plain loop's step"}
    for name, each in found.items():
        label = labels.get(name, f"the same, {name} JPEG")
        print(f"{label:<28}{1000 * each:8.1f} ms{batch / each:8.1f} images/s")
    print(f"step / (forward + backward): {found['step'] / found['network']:.3f} (aim: 1.10 or less)")
    gains = ", ".join(f"{found[name] / found['step']:.2f} times ({name} photos)" for name in files)
    print(f"images/s against the plain loop: {gains} (aim: 1.5 or more)")
    if path:
        path.write_bytes(json_bytes({"steps": steps, "batch_size": batch, "seconds": found}))


if __name__ == "__main__":
    main()
