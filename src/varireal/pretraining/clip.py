"""Pretrain the demo CLIP: a small ViT and a small text transformer of open_clip, trained on captions that are true.

Each step encodes a few groups of candidate sentences once and asks, for every picture and group, which candidate
is true (cross entropy over the candidates). That is the contrastive loss with the batch's captions replaced by
all captions there could be, which needs far smaller batches than image-caption pairs.

Two things keep the task of fine-tuning open, as it is for web-trained CLIPs on fine-grained classes: a class's
name competes with its siblings' (:data:`varireal.pretraining.sentences.FAMILIES`) for a small share of the
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

from varireal.io import json_bytes, staged_folder
from varireal.pretraining.augment import channels_first, paste, random_affine, warp
from varireal.pretraining.sentences import SURFACES, Group, attribute_groups, class_groups, family_of_class
from varireal.pretraining.images import IMAGES, Bank, ImageSet, load_bank, load_images
from varireal.pretraining.loop import LoopSettings, Step, TrainingLoop, prepare_process
from varireal.seeding import derive_seed
from varireal.world.vocabulary import CLASSES, PLACES

#: The architecture, in open_clip's own words.
MODEL_CONFIG: dict[str, object] = {
    "embed_dim": 128,
    "vision_cfg": {"image_size": 128, "patch_size": 16, "width": 160, "layers": 6, "head_width": 32},
    "text_cfg": {"context_length": 24, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 3},
}
#: Channel statistics of OpenAI's CLIP, kept so that the usual preprocessing fits.
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
WEIGHTS = {"class": 0.5, "family": 0.2, "structure": 0.7, "place": 0.15, "surface": 0.2, "mask": 1.0}
FACT_WEIGHT = 0.25


@dataclass(frozen=True)
class ClipOptions:
    """How batches are drawn; the shares are of the pictures, in [0, 1]; see the command's help."""

    batch_size: int
    sibling_share: float
    natural_share: float
    paste_share: float


class MaskHead(nn.Module):
    """Predicts the object's mask from the last patch tokens; dropped after training.

    Asking every patch what it shows gives the tower sixty-four times the supervision of one label a picture.
    """

    def __init__(self, width: int, patch_size: int) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.linear = nn.Linear(width, patch_size**2)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits (count, 1, height, width) for tokens (count, patches, width) of square pictures."""
        side = math.isqrt(tokens.shape[1])
        maps = self.linear(tokens).transpose(1, 2).unflatten(2, (side, side))
        return F.pixel_shuffle(maps, self.patch_size)


def build_clip() -> nn.Module:
    """Return an untrained CLIP of :data:`MODEL_CONFIG`; its towers are open_clip's native transformers."""
    from open_clip.model import CLIP

    return CLIP(**MODEL_CONFIG)


def set_patch_filters(model: nn.Module, pictures: Tensor) -> None:
    """Start the patch embedding from the principal components of the pictures' patches, half whitened.

    A random projection of 768 numbers to 160 mixes fine structure away; the components keep nearly all of it.

    Args:
        pictures: normalised, (count, 3, height, width).
    """
    weight = model.visual.conv1.weight
    size = weight.shape[-1]
    patches = pictures.unfold(2, size, size).unfold(3, size, size).permute(0, 2, 3, 1, 4, 5).reshape(-1, 3 * size**2)
    values, vectors = torch.linalg.eigh(torch.cov(patches.T))
    order = torch.arange(len(values) - 1, len(values) - 1 - weight.shape[0], -1)
    gain = values[order].clamp(min=1e-6) ** -0.25
    filters = vectors[:, order].T * gain[:, None]
    with torch.no_grad():
        weight.copy_(filters.reshape(weight.shape) / (filters @ patches.T).std())


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
        model: the CLIP; its visual tower must return tokens (``output_tokens``).
        head: the mask head.
        data: training pictures.
        bank: empty places for pasting.
        options: the settings below.
    """

    def __init__(self, model: nn.Module, head: MaskHead, data: ImageSet, bank: Bank, options: ClipOptions) -> None:
        from open_clip import SimpleTokenizer

        self.model, self.head, self.data, self.options = model, head, data, options
        self.tokenizer = SimpleTokenizer(context_length=model.context_length)
        self.places = np.concatenate(list(bank.places.values()))
        self.place_of_bank = np.repeat(np.arange(len(bank.places)), [len(p) for p in bank.places.values()])
        self.classes, self.place, self.surface = scene_answers(data)
        self.pools = [
            [np.flatnonzero((self.classes == index) & (data.natural == natural)) for natural in (False, True)]
            for index in range(len(CLASSES))
        ]

    def draw(self, step: Step) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return pictures (normalised), masks (0..1), classes, places and surfaces of one batch."""
        rng, count = step.rng, self.options.batch_size
        classes = rng.integers(len(CLASSES), size=count)
        natural = rng.random(count) < self.options.natural_share
        chosen = np.array([rng.choice(self.pools[c][int(n)]) for c, n in zip(classes, natural, strict=True)])
        pictures = channels_first(torch.from_numpy(self.data.images[chosen]))
        masks = torch.from_numpy(self.data.masks[chosen])[:, None] > 127
        pasted = rng.random(count) < self.options.paste_share
        bank = rng.integers(len(self.places), size=count)
        pictures = paste(pictures, masks, channels_first(torch.from_numpy(self.places[bank])), torch.from_numpy(pasted))
        place = torch.from_numpy(np.where(pasted, self.place_of_bank[bank], self.place[chosen]))
        stacked = torch.cat([normalize(pictures), masks.float()], 1)
        stacked = warp(stacked, random_affine(count, step.generator, (0.78, 1.1), turn_degrees=6.0))
        surface = torch.from_numpy(self.surface[chosen])
        return stacked[:, :3], stacked[:, 3:].clamp(0, 1), torch.from_numpy(classes), place, surface

    def loss(self, step: Step) -> dict[str, Tensor]:
        """Return the weighted sum of all groups' losses and, for the log, each one."""
        pictures, masks, classes, place, surface = self.draw(step)
        groups = class_groups(step.rng) | attribute_groups(step.rng)
        embedded, tokens = self.model.visual(pictures)
        sentences = [sentence for group in groups.values() for sentence in group.sentences]
        text = F.normalize(self.model.encode_text(self.tokenizer(sentences)), dim=-1)
        scale = self.model.logit_scale.exp().clamp(max=100.0)
        logits = scale * F.normalize(embedded, dim=-1) @ text.T
        with_siblings = torch.from_numpy(step.rng.random(len(classes)) < self.options.sibling_share)
        losses, start = {}, 0
        for group in groups.values():
            part = logits[:, start : start + len(group.sentences)]
            start += len(group.sentences)
            allowed = competing_names(classes, with_siblings) if group.name == "class" else None
            losses[group.name] = group_loss(part, self._answer(group, classes, place, surface), allowed)
        losses["mask"] = F.binary_cross_entropy_with_logits(self.head(tokens), masks)
        total = sum(WEIGHTS.get(name, FACT_WEIGHT) * value for name, value in losses.items())
        return {"loss": total, **losses}

    @staticmethod
    def _answer(group: Group, classes: Tensor, place: Tensor, surface: Tensor) -> Tensor:
        if group.name == "place":
            return place
        if group.name == "surface":
            return surface
        return torch.from_numpy(group.answer)[classes]


def scene_answers(data: ImageSet) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return class, place and surface index of every scene, int64; surface is -1 under a two-coloured livery."""
    places = list(PLACES)
    classes = np.array([CLASSES.index(scene.class_name) for scene in data.scenes])
    place = np.array([places.index(scene.place) for scene in data.scenes])
    surface = [-1 if s.accent else SURFACES.index(s.color or s.material or "") for s in data.scenes]
    return classes, place, np.array(surface)


def export_clip(model: nn.Module, folder: Path) -> None:
    """Write an open_clip folder (float16) that ``open_clip.create_model("local-dir:<folder>")`` loads."""
    weights = {name: value.half().contiguous() for name, value in model.state_dict().items()}
    with staged_folder(folder) as staging:
        save_file(weights, staging / "open_clip_model.safetensors", {"format": "pt"})
        preprocessing = {"mean": MEAN, "std": STD, "interpolation": "bicubic", "resize_mode": "squash"}
        config = {"model_cfg": MODEL_CONFIG, "preprocess_cfg": preprocessing}
        (staging / "open_clip_config.json").write_bytes(json_bytes(config))


def train_clip(settings: LoopSettings, options: ClipOptions, images: Path, out: Path, state: Path) -> None:
    """Train on the pictures in ``images`` and write the model to ``out``, now and then and at the end."""
    data, bank = load_images(images, "train"), load_bank(images)
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(derive_seed("clip", settings.seed))
        model = build_clip()
        head = MaskHead(model.visual.conv1.out_channels, model.visual.conv1.kernel_size[0])
    start = np.linspace(0, len(data.images) - 1, num=min(600, len(data.images)), dtype=int)
    set_patch_filters(model, normalize(channels_first(torch.from_numpy(data.images[start]))))
    model.visual.output_tokens = True
    with torch.no_grad():
        model.logit_scale.fill_(math.log(12.0))
    task = ClipTask(model, head, data, bank, options)
    TrainingLoop(settings, {"clip": model, "head": head}, task.loss, state, lambda: export_clip(model, out)).run()


@click.command()
@click.option("--images", type=click.Path(path_type=Path), default=IMAGES, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=Path("models/demo/clip"), show_default=True)
@click.option("--state", type=click.Path(path_type=Path), default=Path("models/demo/.training"), show_default=True)
@click.option("--minutes", default=25.0, show_default=True, help="Training time.")
@click.option("--batch-size", default=32, show_default=True)
@click.option("--learning-rate", default=1e-3, show_default=True)
@click.option("--sibling-share", default=0.02, show_default=True, help="Pictures whose name competes with siblings'.")
@click.option("--natural-share", default=0.08, show_default=True, help="Pictures with natural places and liveries.")
@click.option("--paste-share", default=0.4, show_default=True, help="Objects put on an unrelated place.")
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
