"""Pretrains the demo CLIP: a small ViT and a small text transformer of open_clip, trained on captions that are true.

Each step encodes a few groups of candidate sentences once and asks, for every picture and group, which candidate
is true (cross entropy over the candidates). That is the contrastive loss with the batch's captions replaced by
all captions there could be, which needs far smaller batches than image-caption pairs.

Two things keep the task of fine-tuning open, as it is for web-trained CLIPs on fine-grained classes: a class's
name competes with its siblings' (:data:`varireal_pretraining.sentences.FAMILIES`) for a small share of the
pictures only, and natural liveries are rare. The structure that sets the classes apart is described for all.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.transforms import functional

from varireal.base.files import json_bytes, staged_folder
from varireal.base.seeding import derive_seed, forked_torch_rng
from varireal.cli import run_command
from varireal.datasets.world.vocabulary import CLASSES
from varireal_pretraining.images import Bank, RenderedSet, load_bank, load_images
from varireal_pretraining.loop import LibraryModel, TrainingLoop, TrainingSettings, TrainingStep, training_options
from varireal_pretraining.sentences import SentenceGroup, attribute_groups, class_groups, corpus, family_of_class
from varireal_pretraining.views import SceneMixer, channels_first, random_affine, scene_answers, warp
from varireal_pretraining.vit import (
    ChosenPatches,
    choose_patches,
    patch_masks,
    set_attention,
    set_patch_filters,
    set_positions,
)

OUT = Path("models/demo/clip")
#: The architecture, in open_clip's own words.
MODEL_CONFIG: dict[str, Any] = {
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
WEIGHTS = {
    "class": (0.5, 0.5),
    "family": (0.2, 0.3),
    "structure": (0.7, 1.5),
    "place": (0.15, 0.1),
    "surface": (0.2, 0.15),
    "mask": (1.0, 0.5),
    "local_structure": (0.3, 0.4),
    "local_surface": (0.2, 0.05),
}
#: The weight of each question of :data:`varireal_pretraining.sentences.FACTS`.
FACT_WEIGHT = 0.25
LOCAL = ("structure", "surface")
SECOND_PHASE = 0.45
START_SCALE = 12.0
#: Share of objects on a plain colour at first.
PLAIN_SHARE = 0.5
#: Patches of 64 that are looked at, until the last share of the training.
KEPT_PATCHES, ALL_PATCHES_SHARE = 28, 0.15


@dataclass(frozen=True)
class ClipShares:
    """Shares of the pictures, in [0, 1], by which batches are drawn; see the command's help."""

    sibling_share: float
    natural_share: float
    late_natural_share: float
    paste_share: float


@dataclass(frozen=True)
class ClipBatch:
    """Normalised pictures, masks in [0, 1] (count, 1, height, width), classes, and answers where not by class.

    An answer of -1 means that the picture gives none.
    """

    pictures: Tensor
    masks: Tensor
    classes: Tensor
    answers: dict[str, Tensor]


def build_clip(pictures: Tensor, seed: int) -> LibraryModel:
    """Return an untrained CLIP of :data:`MODEL_CONFIG`; its towers are open_clip's native transformers.

    Args:
        pictures: normalised ones to take the first filters from, (count, 3, height, width).
    """
    from open_clip.model import CLIP

    with forked_torch_rng("clip", seed):
        model: LibraryModel = CLIP(**MODEL_CONFIG)
    set_patch_filters(model.visual, pictures)
    set_positions(model.visual)
    set_attention(model.visual, torch.Generator().manual_seed(derive_seed("clip", seed, "attention")))
    with torch.no_grad():
        model.logit_scale.fill_(math.log(START_SCALE))
    return model


def normalize(pictures: Tensor) -> Tensor:
    """Return float pictures (count, 3, height, width) in 0..255 as CLIP wants them."""
    return functional.normalize(pictures / 255, list(MEAN), list(STD))


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


def encode_groups(
    model: LibraryModel, tokenizer: Callable[[list[str]], Tensor], rng: np.random.Generator
) -> dict[str, tuple[SentenceGroup, Tensor]]:
    """Return one step's groups, each with its sentences' features times the scale, (dimensions, candidates)."""
    groups = class_groups(rng) | attribute_groups(rng)
    sentences = [sentence for group in groups.values() for sentence in group.sentences]
    text = model.encode_text(tokenizer(sentences), normalize=True)
    scaled = model.logit_scale.exp().clamp(max=100.0) * text.T
    parts = scaled.split([len(group.sentences) for group in groups.values()], dim=1)
    return {name: (group, part) for (name, group), part in zip(groups.items(), parts, strict=True)}


class ClipTask:
    """Draws batches and computes the loss of one step.

    Args:
        model: the CLIP of :func:`build_clip`.
        head: predicts the pixels of a patch's mask from its last token; dropped after training.
        data: training pictures.
        bank: empty places for pasting.
    """

    def __init__(
        self, model: LibraryModel, head: nn.Linear, data: RenderedSet, bank: Bank, batch_size: int, shares: ClipShares
    ) -> None:
        from open_clip import SimpleTokenizer

        self.model, self.head, self.data, self.batch_size, self.shares = model, head, data, batch_size, shares
        self.patches = ChosenPatches()
        model.visual.patch_dropout = self.patches
        model.visual.output_tokens = True
        self.tokenizer = SimpleTokenizer(context_length=model.context_length)
        self.mixer = SceneMixer(data, bank, shares.paste_share, PLAIN_SHARE)
        self.classes, self.place, self.surface = scene_answers(data)
        self.pools = [
            [np.flatnonzero((self.classes == index) & (data.natural == natural)) for natural in (False, True)]
            for index in range(len(CLASSES))
        ]

    def draw(self, step: TrainingStep) -> ClipBatch:
        """Return a batch with equally likely classes."""
        rng, count, shares = step.rng, self.batch_size, self.shares
        classes = rng.integers(len(CLASSES), size=count)
        share = shares.natural_share if step.progress < SECOND_PHASE else shares.late_natural_share
        natural = rng.random(count) < share
        chosen = np.array([rng.choice(self.pools[c][int(n)]) for c, n in zip(classes, natural, strict=True)])
        mixed = self.mixer.draw(chosen, step)
        stacked = torch.cat([normalize(mixed.pictures), mixed.masks.float()], 1)
        stacked = warp(stacked, random_affine(count, step.generator, (0.78, 1.1), turn_degrees=6.0))
        answers = {"place": mixed.places(self.place[chosen]), "surface": self.surface[chosen]}
        tensors = {name: torch.from_numpy(answer) for name, answer in answers.items()}
        return ClipBatch(stacked[:, :3], stacked[:, 3:].clamp(0, 1), torch.from_numpy(classes), tensors)

    def loss(self, step: TrainingStep) -> dict[str, Tensor]:
        """Return the weighted sum of all losses and, for the log, each one."""
        batch = self.draw(step)
        targets = self._choose(patch_masks(batch.masks, self.model.visual.patch_size[0]), step)
        embedded, tokens = self.model.visual(batch.pictures)
        image = F.normalize(embedded, dim=-1)
        local, inside = F.normalize(tokens @ self.model.visual.proj, dim=-1), targets.mean(-1) > 0.4
        groups = encode_groups(self.model, self.tokenizer, step.rng)
        siblings = torch.from_numpy(step.rng.random(len(batch.classes)) < self.shares.sibling_share)
        losses = {}
        for name, (group, text) in groups.items():
            answer = batch.answers.get(name, torch.from_numpy(group.answer)[batch.classes])
            allowed = competing_names(batch.classes, siblings) if name == "class" else None
            losses[name] = group_loss(image @ text, answer, allowed)
            if name in LOCAL:
                of_patch = answer[:, None].masked_fill(~inside, -1)
                losses[f"local_{name}"] = group_loss((local @ text).flatten(0, 1), of_patch.flatten())
        losses["mask"] = F.binary_cross_entropy_with_logits(self.head(tokens), targets)
        phase = int(step.progress >= SECOND_PHASE)
        weights = {name: pair[phase] for name, pair in WEIGHTS.items()}
        weighted = [weights.get(name, FACT_WEIGHT) * value for name, value in losses.items()]
        return {"loss": torch.stack(weighted).sum(), **losses}

    def _choose(self, masks: Tensor, step: TrainingStep) -> Tensor:
        """Choose the patches to look at and return their masks; all of them in the last part of the training."""
        if step.progress > 1 - ALL_PATCHES_SHARE:
            self.patches.kept = None
            return masks
        self.patches.kept = choose_patches(masks, KEPT_PATCHES, step.generator)
        return masks.gather(1, self.patches.kept[..., None].expand(-1, -1, masks.shape[-1]))


def unused_tokens(context_length: int) -> Tensor:
    """Return which rows of open_clip's token table no training sentence uses, bool (49408,)."""
    from open_clip import SimpleTokenizer

    tokenizer = SimpleTokenizer(context_length=context_length)
    unused = torch.ones(tokenizer.vocab_size, dtype=torch.bool)
    unused[tokenizer(corpus()).unique()] = False
    return unused


def export_clip(model: LibraryModel, folder: Path) -> None:
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


@click.command()
@training_options(
    TrainingSettings("clip", 32, 1e-3, 70.0, out=OUT, warmup_steps=60, hold=0.3, log_steps=50, save_minutes=5.0)
)
@click.option("--sibling-share", default=0.004, show_default=True, help="Pictures whose name competes with siblings'.")
@click.option("--natural-share", default=0.08, show_default=True, help="Natural pictures in the first phase.")
@click.option("--late-natural-share", default=0.3, show_default=True, help="Natural pictures in the second phase.")
@click.option("--paste-share", default=0.4, show_default=True, help="Objects on an unrelated place.")
def command(settings: TrainingSettings, **shares: float) -> None:
    """Pretrain the demo CLIP from nothing."""
    data, bank = load_images(settings.images, "train"), load_bank(settings.images)
    sample = np.linspace(0, len(data.images) - 1, num=min(600, len(data.images)), dtype=int)
    model = build_clip(normalize(channels_first(data.images[sample])), settings.seed)
    with forked_torch_rng("clip", settings.seed, "head"):
        head = nn.Linear(model.visual.conv1.out_channels, model.visual.patch_size[0] ** 2)
    task = ClipTask(model, head, data, bank, settings.batch_size, ClipShares(**shares))
    parts = {"clip": model, "head": head}
    TrainingLoop(settings, parts, task.loss, lambda: export_clip(model, settings.out)).run()


if __name__ == "__main__":
    run_command(command)
