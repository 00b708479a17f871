"""Trains the demo SDXL-inpainting pipeline; ``python -m varireal_pretraining.inpaint``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import torch
from diffusers import AutoencoderKL, StableDiffusionXLInpaintPipeline, UNet2DConditionModel
from torch import Tensor

from varireal.base.files import write_json
from varireal.datasets.world.render import Scene
from varireal.datasets.world.vocabulary import MATERIALS, PLACES
from varireal.prompts.templates import material_prompt, place_prompt
from varireal_pretraining.edit_captions import caption, corpus, material_phrase
from varireal_pretraining.images import IMAGES, load_images
from varireal_pretraining.latents import LATENTS, REGION_SHARES, LatentSet, load_latents
from varireal_pretraining.loop import Step, TrainingLoop, prepare_process
from varireal_pretraining.options import TrainingOptions, training_options
from varireal_pretraining.schedule import TRAIN_STEPS, shifted_betas
from varireal_pretraining.tokenizer import build_tokenizer
from varireal_pretraining.unet import (
    INPAINT_CHANNELS,
    TextEncoders,
    build_text_encoders,
    build_unet,
    drop_captions,
    predict,
    save_pipeline,
)

OUT = Path("models/demo/sdxl-inpaint")
#: Share of samples that are an empty place or a material close-up, painted from nothing.
BANK_SHARE = 0.08
#: Share of the other samples, scenes, that are painted from nothing instead of in their region.
EVERYTHING_SHARE = 0.18
CAPTION_DROP = 0.1
#: Time steps are drawn as 1000 u^TIME_POWER, u uniform: more of them at low noise, where edits of a prior happen.
TIME_POWER = 1.25
#: Weight of the error outside the region against 1 inside.
KEPT_WEIGHT = 0.15


@dataclass(frozen=True)
class Sample:
    """One training sample, before noise: clean latents, region, latents without it, sentence."""

    whole: np.ndarray
    mask: np.ndarray
    kept: np.ndarray
    sentence: str


class Samples:
    """Draws training samples from cached latents; for the shares see BANK_SHARE and EVERYTHING_SHARE."""

    def __init__(
        self,
        latents: LatentSet,
        scenes: list[Scene],
        bank_share: float = BANK_SHARE,
        everything_share: float = EVERYTHING_SHARE,
    ) -> None:
        self.latents, self.scenes = latents, scenes
        self.bank_share, self.everything_share = bank_share, everything_share
        self.bank_sentences = [place_prompt(phrase) for phrase in PLACES.values()]
        self.bank_sentences += [material_prompt(material_phrase(name)) for name in MATERIALS]
        self.regions = tuple(REGION_SHARES)

    def draw(self, rng: np.random.Generator) -> Sample:
        """Draw one sample: a scene and its region, a scene as a whole, or a picture of the bank as a whole."""
        latents = self.latents
        everything = np.ones_like(latents.mask[0])
        if rng.random() < self.bank_share:
            which = int(rng.integers(len(self.bank_sentences)))
            bank = latents.places if which < len(PLACES) else latents.materials
            pictures = bank[which if which < len(PLACES) else which - len(PLACES)]
            whole = pictures[rng.integers(len(pictures))]
            return Sample(whole, everything, latents.grey, self.bank_sentences[which])
        index = int(rng.integers(len(self.scenes)))
        if rng.random() < self.everything_share:
            sentence = caption(self.scenes[index], "everything", rng)
            return Sample(latents.whole[index], everything, latents.grey, sentence)
        sentence = caption(self.scenes[index], self.regions[latents.region[index]], rng)
        return Sample(latents.whole[index], latents.mask[index], latents.kept[index], sentence)


def stack(arrays: list[np.ndarray]) -> Tensor:
    """Return float16 arrays as one float32 tensor."""
    return torch.from_numpy(np.stack(arrays)).float()


def add_noise(
    clean: Tensor, alphas: Tensor, noise: torch.Generator, power: float = TIME_POWER
) -> tuple[Tensor, Tensor, Tensor]:
    """Return random time steps, the noisy latents and the v target (Salimans & Ho 2022, arXiv 2202.00512).

    Args:
        clean: latents (N, 4, H, W).
        alphas: cumulative alphas (TRAIN_STEPS,).
        power: see TIME_POWER.
    """
    u = torch.rand(len(clean), generator=noise)
    t = (u**power * TRAIN_STEPS).long().clamp(max=TRAIN_STEPS - 1)
    epsilon = torch.randn(clean.shape, generator=noise)
    signal, spread = (part[t, None, None, None] for part in (alphas.sqrt(), (1 - alphas).sqrt()))
    return t, signal * clean + spread * epsilon, signal * epsilon - spread * clean


def region_error(guess: Tensor, target: Tensor, mask: Tensor, outside: float = KEPT_WEIGHT) -> Tensor:
    """Return the mean squared error, weighted 1 inside the mask (N, 1, H, W) and ``outside`` elsewhere, per sample."""
    weight = outside + (1 - outside) * mask
    error = ((guess - target) ** 2).mean(1, keepdim=True)
    return ((error * weight).sum((1, 2, 3)) / weight.sum((1, 2, 3))).mean()


class DenoisingLoss:
    """The loss of one step of a UNet (9 input channels: inpainting, 4: text to image) and its text encoders."""

    def __init__(self, unet: UNet2DConditionModel, text: TextEncoders, samples: Samples, batch_size: int) -> None:
        self.unet, self.text, self.samples, self.batch_size = unet, text, samples, batch_size
        self.masked = unet.config.in_channels == INPAINT_CHANNELS
        betas = shifted_betas()
        self.alphas = (1 - betas).cumprod(0).clamp(min=0).float()
        self.ids: dict[str, Tensor] = {}

    def _token_ids(self, sentences: list[str]) -> Tensor:
        for sentence in sentences:
            if sentence not in self.ids:
                self.ids[sentence] = self.text.token_ids([sentence])[0]
        return torch.stack([self.ids[sentence] for sentence in sentences])

    def __call__(self, step: Step) -> Tensor:
        drawn = [self.samples.draw(step.rng) for _ in range(self.batch_size)]
        clean, mask = stack([s.whole for s in drawn]), stack([s.mask for s in drawn])
        t, noisy, target = add_noise(clean, self.alphas, step.generator)
        states, pooled = self.text(self._token_ids([s.sentence for s in drawn]))
        states, pooled = drop_captions(states, pooled, CAPTION_DROP, step.generator)
        inputs = torch.cat([noisy, mask, stack([s.kept for s in drawn])], 1) if self.masked else noisy
        inputs = inputs.contiguous(memory_format=torch.channels_last)
        return region_error(predict(self.unet, inputs, t, states, pooled), target, mask)


@click.command()
@training_options(
    TrainingOptions(
        out=OUT,
        metrics=Path("models/demo/metrics/inpaint.json"),
        minutes=46.0,
        batch_size=16,
        learning_rate=8e-4,
    )
)
@click.option("--latents", type=click.Path(path_type=Path), default=LATENTS, show_default=True)
@click.option("--vae", "vae_folder", type=click.Path(path_type=Path), default=IMAGES.parent / "vae-export")
def main(options: TrainingOptions, latents: Path, vae_folder: Path) -> None:
    """Train the inpainting UNet and the text encoders on cached latents; write the pipeline every few minutes."""
    prepare_process(options.threads)
    vae = AutoencoderKL.from_pretrained(vae_folder).eval()
    text = build_text_encoders(build_tokenizer(corpus()), options.seed)
    unet = build_unet(INPAINT_CHANNELS, options.seed).to(memory_format=torch.channels_last)
    settings = options.loop_settings("inpaint", hold=0.45, warmup_steps=100)
    samples = Samples(load_latents(latents), load_images(options.images, "train").scenes)
    modules = {"unet": unet, "text_encoder": text.first, "text_encoder_2": text.second}
    loop = TrainingLoop(
        settings,
        modules,
        DenoisingLoss(unet, text, samples, options.batch_size),
        options.state,
        lambda: save_pipeline(StableDiffusionXLInpaintPipeline, options.out, vae, text, unet),
    )
    history = loop.run()
    parameters = {name: sum(p.numel() for p in module.parameters()) for name, module in modules.items()}
    write_json(options.metrics, {"minutes": options.minutes, "parameters": parameters, "history": history})


if __name__ == "__main__":
    main()
