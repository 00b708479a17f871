"""Makes the demo SDXL base (text to image) out of the inpainting pipeline; ``python -m varireal_pretraining.base``.

Painting everything from nothing is inpainting with the mask 1 everywhere and a grey picture, so those inputs are
constants: their weights go into the bias of the first convolution (:func:`fold_constant_inputs`), and a few minutes
of fine-tuning make up for the picture's border, where padding made the constants differ.
"""

from __future__ import annotations

from pathlib import Path

import click
import torch
from diffusers import AutoencoderKL, StableDiffusionXLPipeline, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from varireal.base.files import write_json
from varireal.errors import UserError
from varireal_pretraining.images import IMAGES, load_images
from varireal_pretraining.inpaint import OUT as INPAINT
from varireal_pretraining.inpaint import DenoisingLoss, Samples
from varireal_pretraining.latents import LATENTS, load_latents
from varireal_pretraining.loop import TrainingLoop, prepare_process
from varireal_pretraining.options import TrainingOptions, training_options
from varireal_pretraining.unet import INPAINT_CHANNELS, TextEncoders, build_unet, save_pipeline

#: Where the training of ControlNet and IP-Adapter takes it up; what it makes of it is ``models/demo/sdxl-base``.
OUT = IMAGES.parent / "sdxl-base"
#: Priors are mostly empty places and materials; the rest are whole aircraft pictures.
BANK_SHARE = 0.55
LATENT_CHANNELS = 4


@torch.no_grad()
def fold_constant_inputs(inpaint: UNet2DConditionModel, grey: Tensor, base: UNet2DConditionModel) -> None:
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


def load_parts(folder: Path) -> tuple[AutoencoderKL, TextEncoders, UNet2DConditionModel]:
    """Load the parts of an inpainting pipeline as float32."""
    text = TextEncoders(
        CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=torch.float32),
        CLIPTextModelWithProjection.from_pretrained(folder / "text_encoder_2", dtype=torch.float32),
        CLIPTokenizer.from_pretrained(folder / "tokenizer"),
    )
    vae = AutoencoderKL.from_pretrained(folder / "vae").float()
    return vae, text, UNet2DConditionModel.from_pretrained(folder / "unet").float()


@click.command()
@training_options(
    TrainingOptions(
        out=OUT,
        metrics=Path("models/demo/metrics/base.json"),
        minutes=7.0,
        batch_size=16,
        learning_rate=3e-4,
        threads=2,
    )
)
@click.option("--latents", type=click.Path(path_type=Path), default=LATENTS, show_default=True)
@click.option("--inpaint", type=click.Path(path_type=Path), default=INPAINT, show_default=True)
def main(options: TrainingOptions, latents: Path, inpaint: Path) -> None:
    """Fold the inpainting UNet into a text-to-image one and fine-tune it; text encoders and autoencoder stay."""
    prepare_process(options.threads)
    vae, text, trained = load_parts(inpaint)
    for encoder in (text.first, text.second):
        encoder.eval().requires_grad_(False)
    cached = load_latents(latents)
    middle = cached.grey.shape[-1] // 2
    unet = build_unet(LATENT_CHANNELS, options.seed)
    if trained.config.in_channels != INPAINT_CHANNELS:
        raise UserError(f"{inpaint}/unet has {trained.config.in_channels} input channels, not {INPAINT_CHANNELS}")
    fold_constant_inputs(trained, torch.tensor(cached.grey[:, middle, middle]).float(), unet)
    unet = unet.train().to(memory_format=torch.channels_last)
    samples = Samples(cached, load_images(options.images, "train").scenes, bank_share=BANK_SHARE, everything_share=1.0)
    settings = options.loop_settings("base", ema_decay=0.99)
    loop = TrainingLoop(
        settings,
        {"unet": unet},
        DenoisingLoss(unet, text, samples, options.batch_size),
        options.state,
        lambda: save_pipeline(StableDiffusionXLPipeline, options.out, vae, text, unet),
    )
    history = loop.run()
    count = sum(p.numel() for p in unet.parameters())
    write_json(options.metrics, {"minutes": options.minutes, "parameters": {"unet": count}, "history": history})


if __name__ == "__main__":
    main()
