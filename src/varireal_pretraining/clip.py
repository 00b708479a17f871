"""Pretrain the demo CLIP: a small ViT and a small text transformer of open_clip, trained on captions that are true.

Each step encodes a few groups of candidate sentences once and asks, for every picture and group, which candidate
is true (cross entropy over the candidates). That is the contrastive loss with the batch's captions replaced by
all captions there could be, which needs far smaller batches than image-caption pairs.

Two things keep the task of fine-tuning open, as it is for web-trained CLIPs on fine-grained classes: a class's
name competes with its siblings' (:data:`varireal_pretraining.sentences.FAMILIES`) for a small share of the
pictures only, and natural liveries are rare. The structure that sets the classes apart is described for all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from varireal.base.files import json_bytes, staged_folder
from varireal.base.seeding import derive_seed, forked_torch_rng
from varireal.datasets.world.vocabulary import CLASSES, PLACES
from varireal_pretraining.augment import channels_first, paste, random_affine, warp
from varireal_pretraining.images import IMAGES, Bank, ImageSet, load_bank, load_images
from varireal_pretraining.loop import LoopSettings, Step, TrainingLoop, prepare_process
from varireal_pretraining.sentences import SURFACES, attribute_groups, class_groups, corpus, family_of_class
from varireal_pretraining.vit import (
    ChosenPatches,
    choose_patches,
    patch_masks,
    set_attention,
    set_patch_filters,
    set_positions,
)

#: The architecture, in open_clip's own words.
MODEL_CONFIG: dict[str, object] = {
    "embed_dim": 128,
    "vision_cfg": {
        "image_size": 128,
        "patch_size": 16,
        "width": 160,
        "layers": 6,
        "head_width": 32,
        "pool_type": "avg",
    },
    "text_cfg": {"context_length": 24, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 3},
}
#: Channel statistics of OpenAI's CLIP, kept so that the usual preprocessing fits.
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
#: Weights of the losses in the first phase, when places, surfaces and outlines are learned, and in the second, which
#: dwells on what sets the classes apart. ``local``: the patches inside the object are asked too, each for itself.
FIRST = {
    "class": 0.5,
    "family": 0.2,
    "structure": 0.7,
    "place": 0.15,
    "surface": 0.2,
    "mask": 1.0,
    "local_structure": 0.3,
    "local_surface": 0.2,
}
SECOND = {
    "class": 0.5,
    "family": 0.3,
    "structure": 1.5,
    "place": 0.1,
    "surface": 0.15,
    "mask": 0.5,
    "local_structure": 0.4,
    "local_surface": 0.05,
}
#: The weight of each question of :data:`varireal_pretraining.sentences.FACTS`.
FACT_WEIGHT = 0.25
LOCAL = ("structure", "surface")
SECOND_PHASE = 0.45
START_SCALE = 12.0
#: Patches of 64 that are looked at, until the last share of the training.
KEPT_PATCHES, ALL_PATCHES_SHARE = 28, 0.15


@dataclass(frozen=True)
class ClipOptions:
    """How batches are drawn; the shares are of the pictures, in [0, 1]; see the command's help."""

    batch_size: int
    sibling_share: float
    natural_share: float
    late_natural_share: float
    paste_share: float


@dataclass(frozen=True)
class Batch:
    """Normalised pictures, masks in [0, 1] (count, 1, height, width), classes, and answers where not by class.

    An answer of -1 means that the picture gives none.
    """

    pictures: Tensor
    masks: Tensor
    classes: Tensor
    answers: dict[str, Tensor]


def build_clip(pictures: Tensor, seed: int) -> nn.Module:
    """Return an untrained CLIP of :data:`MODEL_CONFIG`; its towers are open_clip's native transformers.

    Args:
        pictures: normalised ones to take the first filters from, (count, 3, height, width).
    """
    from open_clip.model import CLIP

    with forked_torch_rng("clip", seed):
        model = CLIP(**MODEL_CONFIG)
    set_patch_filters(model.visual, pictures)
    set_positions(model.visual)
    set_attention(model.visual, torch.Generator().manual_seed(derive_seed("clip", seed, "attention")))
    with torch.no_grad():
        model.logit_scale.fill_(math.log(START_SCALE))
    return model


def normalize(pictures: Tensor) -> Tensor:
    """Return float pictures (count, 3, height, width) in 0..255 as CLIP wants them."""
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) * 255 for values in (MEAN, STD))
    return (pictures - mean) / std


def group_loss(logits: Tensor, answer: Tensor, allowed: Tensor | None = None) -> Tensor:
    """Return the mean cross entropy (a scalar) of the pictures whose ``answer`` is not -1.

    Args:
        logits: (pictures, candidates).
        answer: index of the true candidate, int64 (pictures,), or -1 where the picture gives no answer.
        allowed: bool (pictures, candidates); candidates that do not compete for a picture are false.
    """
    if allowed is not None:
        logits = logits.masked_fill(~allowed, -1e4)
    known = int((answer >= 0).sum())
    return F.cross_entropy(logits, answer, ignore_index=-1, reduction="sum") / max(1, known)


def competing_names(classes: Tensor, with_siblings: Tensor) -> Tensor:
    """Return which class names compete for each picture, bool (pictures, classes).

    The names of other families always do; a sibling's only where ``with_siblings`` (bool, (pictures,)) says so.
    """
    family = torch.from_numpy(family_of_class())
    siblings = family[classes][:, None] == family[None]
    itself = classes[:, None] == torch.arange(len(family))[None]
    return ~siblings | itself | with_siblings[:, None]


class ClipTask:
    """Draws batches and computes the loss of one step.

    Args:
        model: the CLIP of :func:`build_clip`.
        head: predicts the pixels of a patch's mask from its last token; dropped after training.
        data: training pictures.
        bank: empty places for pasting.
    """

    def __init__(self, model: nn.Module, head: nn.Linear, data: ImageSet, bank: Bank, options: ClipOptions) -> None:
        from open_clip import SimpleTokenizer

        self.model, self.head, self.data, self.options = model, head, data, options
        self.patches = ChosenPatches()
        model.visual.patch_dropout = self.patches
        model.visual.output_tokens = True
        self.tokenizer = SimpleTokenizer(context_length=model.context_length)
        self.places = np.concatenate(list(bank.places.values()))
        self.place_of_bank = np.repeat(np.arange(len(bank.places)), [len(p) for p in bank.places.values()])
        self.classes, self.place, self.surface = scene_answers(data)
        self.pools = [
            [np.flatnonzero((self.classes == index) & (data.natural == natural)) for natural in (False, True)]
            for index in range(len(CLASSES))
        ]

    def draw(self, step: Step) -> Batch:
        """Return a batch with equally likely classes."""
        rng, count, options = step.rng, self.options.batch_size, self.options
        classes = rng.integers(len(CLASSES), size=count)
        share = options.natural_share if step.progress < SECOND_PHASE else options.late_natural_share
        natural = rng.random(count) < share
        chosen = np.array([rng.choice(self.pools[c][int(n)]) for c, n in zip(classes, natural, strict=True)])
        pictures = channels_first(torch.from_numpy(self.data.images[chosen]))
        masks = torch.from_numpy(self.data.masks[chosen])[:, None] > 127
        pasted, plain = rng.random(count) < options.paste_share, rng.random(count) < plain_share(step.progress)
        bank = rng.integers(len(self.places), size=count)
        colors = torch.from_numpy(rng.uniform(0, 255, (count, 3, 1, 1)).astype(np.float32)).expand_as(pictures)
        pictures = paste(pictures, masks, channels_first(torch.from_numpy(self.places[bank])), torch.from_numpy(pasted))
        pictures = paste(pictures, masks, colors, torch.from_numpy(plain))
        place = np.where(plain, -1, np.where(pasted, self.place_of_bank[bank], self.place[chosen]))
        stacked = torch.cat([normalize(pictures), masks.float()], 1)
        stacked = warp(stacked, random_affine(count, step.generator, (0.78, 1.1), turn_degrees=6.0))
        answers = {"place": torch.from_numpy(place), "surface": torch.from_numpy(self.surface[chosen])}
        return Batch(stacked[:, :3], stacked[:, 3:].clamp(0, 1), torch.from_numpy(classes), answers)

    def loss(self, step: Step) -> dict[str, Tensor]:
        """Return the weighted sum of all losses and, for the log, each one."""
        batch = self.draw(step)
        targets = self._choose(patch_masks(batch.masks, self.model.visual.patch_size[0]), step)
        embedded, tokens = self.model.visual(batch.pictures)
        groups = class_groups(step.rng) | attribute_groups(step.rng)
        sentences = [sentence for group in groups.values() for sentence in group.sentences]
        text = F.normalize(self.model.encode_text(self.tokenizer(sentences)), dim=-1)
        scaled = self.model.logit_scale.exp().clamp(max=100.0) * text.T
        logits = F.normalize(embedded, dim=-1) @ scaled
        local = F.normalize(tokens @ self.model.visual.proj, dim=-1)
        inside = targets.mean(-1) > 0.4
        siblings = torch.from_numpy(step.rng.random(len(batch.classes)) < self.options.sibling_share)
        losses, start = {}, 0
        for name, group in groups.items():
            span = slice(start, start + len(group.sentences))
            start = span.stop
            answer = batch.answers.get(name, torch.from_numpy(group.answer)[batch.classes])
            allowed = competing_names(batch.classes, siblings) if name == "class" else None
            losses[name] = group_loss(logits[:, span], answer, allowed)
            if name in LOCAL:
                of_patch = answer[:, None].masked_fill(~inside, -1)
                losses[f"local_{name}"] = group_loss((local @ scaled[:, span]).flatten(0, 1), of_patch.flatten())
        losses["mask"] = F.binary_cross_entropy_with_logits(self.head(tokens), targets)
        weights = FIRST if step.progress < SECOND_PHASE else SECOND
        return {"loss": sum(weights.get(name, FACT_WEIGHT) * value for name, value in losses.items()), **losses}

    def _choose(self, masks: Tensor, step: Step) -> Tensor:
        """Choose the patches to look at and return their masks; all of them in the last part of the training."""
        if step.progress > 1 - ALL_PATCHES_SHARE:
            self.patches.kept = None
            return masks
        self.patches.kept = choose_patches(masks, KEPT_PATCHES, step.generator)
        return masks.gather(1, self.patches.kept[..., None].expand(-1, -1, masks.shape[-1]))


def plain_share(progress: float) -> float:
    """Return the share of objects on a plain colour: half at first, none after half of the training."""
    return max(0.0, 0.5 - progress)


def scene_answers(data: ImageSet) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return class, place and surface index of every scene, int64; surface is -1 under a two-coloured livery."""
    places = list(PLACES)
    classes = np.array([CLASSES.index(scene.class_name) for scene in data.scenes])
    place = np.array([places.index(scene.place) for scene in data.scenes])
    surface = [-1 if s.accent else SURFACES.index(s.color or s.material or "") for s in data.scenes]
    return classes, place, np.array(surface)


def unused_tokens(context_length: int) -> Tensor:
    """Return which rows of open_clip's token table no training sentence uses, bool (49408,)."""
    from open_clip import SimpleTokenizer

    tokenizer = SimpleTokenizer(context_length=context_length)
    unused = torch.ones(tokenizer.vocab_size, dtype=torch.bool)
    unused[tokenizer(corpus()).unique()] = False
    return unused


def export_clip(model: nn.Module, folder: Path) -> None:
    """Write an open_clip folder (float16) that ``open_clip.create_model("local-dir:<folder>")`` loads.

    Rows of the token table that were never trained are set to zero: they hold noise, two thirds of the file, which
    cannot be compressed.
    """
    weights = {name: value.half().contiguous() for name, value in model.state_dict().items()}
    weights["token_embedding.weight"][unused_tokens(model.context_length)] = 0
    with staged_folder(folder) as staging:
        save_file(weights, staging / "open_clip_model.safetensors", {"format": "pt"})
        preprocessing = {"mean": MEAN, "std": STD, "interpolation": "bicubic", "resize_mode": "squash"}
        config = {"model_cfg": MODEL_CONFIG, "preprocess_cfg": preprocessing}
        (staging / "open_clip_config.json").write_bytes(json_bytes(config))


def train_clip(settings: LoopSettings, options: ClipOptions, images: Path, out: Path, state: Path) -> None:
    """Train on the pictures in ``images`` and write the model to ``out``, now and then and at the end."""
    data, bank = load_images(images, "train"), load_bank(images)
    first = np.linspace(0, len(data.images) - 1, num=min(600, len(data.images)), dtype=int)
    model = build_clip(normalize(channels_first(torch.from_numpy(data.images[first]))), settings.seed)
    with forked_torch_rng("clip", settings.seed, "head"):
        head = nn.Linear(model.visual.conv1.out_channels, model.visual.patch_size[0] ** 2)
    task = ClipTask(model, head, data, bank, options)
    TrainingLoop(settings, {"clip": model, "head": head}, task.loss, state, lambda: export_clip(model, out)).run()


@click.command()
@click.option("--images", type=click.Path(path_type=Path), default=IMAGES, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=Path("models/demo/clip"), show_default=True)
@click.option("--state", type=click.Path(path_type=Path), default=Path("models/demo/.training"), show_default=True)
@click.option("--minutes", default=70.0, show_default=True, help="Training time.")
@click.option("--batch-size", default=32, show_default=True)
@click.option("--learning-rate", default=1e-3, show_default=True)
@click.option("--sibling-share", default=0.004, show_default=True, help="Pictures whose name competes with siblings'.")
@click.option("--natural-share", default=0.08, show_default=True, help="Natural pictures in the first phase.")
@click.option("--late-natural-share", default=0.3, show_default=True, help="Natural pictures in the second phase.")
@click.option("--paste-share", default=0.4, show_default=True, help="Objects on an unrelated place.")
@click.option("--threads", default=1, show_default=True)
@click.option("--seed", default=0, show_default=True)
def main(
    images: Path, out: Path, state: Path, minutes: float, learning_rate: float, threads: int, seed: int, **shares: float
) -> None:
    """Pretrain the demo CLIP from nothing."""
    prepare_process(threads)
    options = ClipOptions(batch_size=int(shares.pop("batch_size")), **shares)
    settings = LoopSettings(
        "clip",
        seed,
        options.batch_size,
        minutes=minutes,
        learning_rate=learning_rate,
        warmup_steps=60,
        hold=0.3,
        log_steps=50,
        save_minutes=5.0,
    )
    train_clip(settings, options, images, out, state)


if __name__ == "__main__":
    main()
