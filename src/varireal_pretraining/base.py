"""Makes the demo SDXL base (text to image) out of the inpainting pipeline; ``python -m varireal_pretraining.base``.

Painting everything from nothing is inpainting with the mask 1 everywhere and a grey picture, so those inputs are
constants: their weights go into the bias of the first convolution (:func:`fold_constant_inputs`), and a few minutes
of fine-tuning make up for the picture's border, where padding made the constants differ.
"""

from __future__ import annotations

from pathlib import Path

import click
import torch
from diffusers import StableDiffusionXLPipeline
from torch import Tensor

from varireal.cli import run_command
from varireal.errors import UserError
from varireal_pretraining.diffusion import INPAINT_CHANNELS, build_unet, load_pipeline_parts, save_pipeline
from varireal_pretraining.images import load_images
from varireal_pretraining.inpaint import OUT as INPAINT
from varireal_pretraining.inpaint import DenoisingLoss, Samples
from varireal_pretraining.latents import LATENTS, load_latents
from varireal_pretraining.loop import (
    METRICS,
    WORKSPACE,
    LibraryModel,
    TrainingLoop,
    TrainingSettings,
    count_parameters,
    path_option,
    training_options,
)

#: Where the training of ControlNet and IP-Adapter takes it up; what it makes of it is ``models/demo/sdxl-base``.
OUT = WORKSPACE / "sdxl-base"
#: Priors are mostly empty places and materials; the rest are whole aircraft pictures.
BANK_SHARE = 0.55
LATENT_CHANNELS = 4


@torch.no_grad()
def fold_constant_inputs(inpaint: LibraryModel, grey: Tensor, base: LibraryModel) -> None:
    """Copy an inpainting UNet into one of 4 input channels, for the mask 1 and one grey colour as the kept picture.

    Args:
        grey: latents of the grey picture's middle, (4,).
    """
    weights = inpaint.state_dict()
    first = weights["conv_in.weight"]
    constants = torch.cat([torch.ones(1), grey])
    folded = torch.einsum("oikl,i->o", first[:, LATENT_CHANNELS:], constants)
    weights["conv_in.weight"] = first[:, :LATENT_CHANNELS]
    weights["conv_in.bias"] = weights["conv_in.bias"] + folded
    base.load_state_dict(weights)


@click.command()
@training_options(TrainingSettings("base", 16, 3e-4, 7.0, out=OUT, metrics=METRICS / "base.json", ema_decay=0.99), 2)
@path_option("--latents", LATENTS)
@path_option("--inpaint", INPAINT)
def command(settings: TrainingSettings, latents: Path, inpaint: Path) -> None:
    """Fold the inpainting UNet into a text-to-image one and fine-tune it; text encoders and autoencoder stay."""
    vae, text, trained = load_pipeline_parts(inpaint)
    if trained.config.in_channels != INPAINT_CHANNELS:
        raise UserError(f"{inpaint}/unet has {trained.config.in_channels} input channels, not {INPAINT_CHANNELS}")
    for encoder in (text.first, text.second):
        encoder.eval().requires_grad_(False)
    cached = load_latents(latents)
    middle = cached.grey.shape[-1] // 2
    unet = build_unet(LATENT_CHANNELS, settings.seed)
    fold_constant_inputs(trained, torch.tensor(cached.grey[:, middle, middle]).float(), unet)
    unet = unet.train().to(memory_format=torch.channels_last)
    samples = Samples(cached, load_images(settings.images, "train").scenes, bank_share=BANK_SHARE, everything_share=1.0)
    loop = TrainingLoop(
        settings,
        {"unet": unet},
        DenoisingLoss(unet, text, samples, settings.batch_size),
        lambda: save_pipeline(StableDiffusionXLPipeline, settings.out, vae, text, unet),
    )
    settings.write_figures(loop.run(), {"unet": count_parameters(unet)})


if __name__ == "__main__":
    run_command(command)
