"""Trains the demo SDXL-inpainting pipeline; ``python -m varireal_pretraining.inpaint``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import torch
from diffusers import AutoencoderKL, StableDiffusionXLInpaintPipeline
from torch import Tensor

from varireal.cli import run_command
from varireal.datasets.world.render import Scene
from varireal.datasets.world.vocabulary import MATERIALS, PLACES
from varireal.prompts.templates import material_prompt, place_prompt
from varireal_pretraining.captions import build_tokenizer, caption, corpus, material_phrase
from varireal_pretraining.diffusion import (
    CAPTION_DROP,
    INPAINT_CHANNELS,
    NoiseSchedule,
    TextEncoders,
    build_text_encoders,
    build_unet,
    drop_captions,
    predict,
    region_error,
    save_pipeline,
    stack,
)
from varireal_pretraining.images import load_images
from varireal_pretraining.latents import LATENTS, REGION_SHARES, LatentSet, load_latents
from varireal_pretraining.loop import (
    METRICS,
    LibraryModel,
    TrainingLoop,
    TrainingSettings,
    TrainingStep,
    count_parameters,
    path_option,
    training_options,
)
from varireal_pretraining.vae import VAE

OUT = Path("models/demo/sdxl-inpaint")
#: Share of samples that are an empty place or a material close-up, painted from nothing.
BANK_SHARE = 0.08
#: Share of the other samples, scenes, that are painted from nothing instead of in their region.
EVERYTHING_SHARE = 0.18
#: See :meth:`NoiseSchedule.add_noise`: edits of a prior happen at low noise.
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


class DenoisingLoss:
    """The loss of one step of a UNet (9 input channels: inpainting, 4: text to image) and its text encoders."""

    def __init__(self, unet: LibraryModel, text: TextEncoders, samples: Samples, batch_size: int) -> None:
        self.unet, self.text, self.samples, self.batch_size = unet, text, samples, batch_size
        self.masked = unet.config.in_channels == INPAINT_CHANNELS
        self.schedule = NoiseSchedule()
        self.ids: dict[str, Tensor] = {}

    def _token_ids(self, sentences: list[str]) -> Tensor:
        for sentence in sentences:
            if sentence not in self.ids:
                self.ids[sentence] = self.text.token_ids([sentence])[0]
        return torch.stack([self.ids[sentence] for sentence in sentences])

    def __call__(self, step: TrainingStep) -> Tensor:
        drawn = [self.samples.draw(step.rng) for _ in range(self.batch_size)]
        clean, mask = stack([s.whole for s in drawn]), stack([s.mask for s in drawn])
        t, noisy, target = self.schedule.add_noise(clean, step.generator, TIME_POWER)
        states, pooled = self.text(self._token_ids([s.sentence for s in drawn]))
        states, pooled = drop_captions(states, pooled, CAPTION_DROP, step.generator)
        inputs = torch.cat([noisy, mask, stack([s.kept for s in drawn])], 1) if self.masked else noisy
        inputs = inputs.contiguous(memory_format=torch.channels_last)
        return region_error(predict(self.unet, inputs, t, states, pooled), target, mask, KEPT_WEIGHT)


@click.command()
@training_options(
    TrainingSettings("inpaint", 16, 8e-4, 46.0, out=OUT, metrics=METRICS / "inpaint.json", hold=0.45, warmup_steps=100)
)
@path_option("--latents", LATENTS)
@path_option("--vae vae_folder", VAE)
def command(settings: TrainingSettings, latents: Path, vae_folder: Path) -> None:
    """Train the inpainting UNet and the text encoders on cached latents; write the pipeline every few minutes."""
    vae: LibraryModel = AutoencoderKL.from_pretrained(vae_folder).eval()
    text = build_text_encoders(build_tokenizer(corpus()), settings.seed)
    unet = build_unet(INPAINT_CHANNELS, settings.seed).to(memory_format=torch.channels_last)
    samples = Samples(load_latents(latents), load_images(settings.images, "train").scenes)
    modules = {"unet": unet, "text_encoder": text.first, "text_encoder_2": text.second}
    loop = TrainingLoop(
        settings,
        modules,
        DenoisingLoss(unet, text, samples, settings.batch_size),
        lambda: save_pipeline(StableDiffusionXLInpaintPipeline, settings.out, vae, text, unet),
    )
    settings.write_figures(loop.run(), {name: count_parameters(module) for name, module in modules.items()})


if __name__ == "__main__":
    run_command(command)
