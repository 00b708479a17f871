"""The demo autoencoder: an AutoencoderKL with 4 x 4 px per latent; ``python -m varireal_pretraining.vae``.

Training starts from weights that already are a linear codec (:func:`init_as_linear_codec`), so that hues are right
from the first step and the few minutes of training go into detail.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import click
import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor

from varireal.base.files import staged_folder
from varireal.cli import run_command
from varireal_pretraining.figures import psnr, recognised_colors
from varireal_pretraining.images import SIZE, Bank, RenderedSet, load_bank, load_images
from varireal_pretraining.loop import (
    METRICS,
    WORKSPACE,
    LibraryModel,
    TrainingLoop,
    TrainingSettings,
    TrainingStep,
    count_parameters,
    training_options,
)

#: Where the UNets' trainings find it.
VAE = WORKSPACE / "vae-export"
CHANNELS = (16, 32, 64)
LATENT_CHANNELS = 4
CROP = 64
#: From this share of the run on, whole pictures are shown: the group norms see crops and wholes differently.
WHOLE_FROM = 0.7

#: RGB to (grey, red against blue, green against both); its inverse closes the decoder.
OPPONENT = torch.tensor([[1 / 3, 1 / 3, 1 / 3], [0.5, 0.0, -0.5], [-0.25, 0.5, -0.25]])
#: Gains that bring the four linear latents (three 4 x 4 means, one diagonal difference) to about unit variance.
GAINS = torch.tensor([2.0, 4.0, 6.0, 5.0])


def build_vae() -> LibraryModel:
    """Return the untrained autoencoder, 3 x 128 x 128 in [-1, 1] to 4 x 32 x 32, started as a linear codec."""
    config = {
        "in_channels": 3,
        "out_channels": 3,
        "down_block_types": ["DownEncoderBlock2D"] * len(CHANNELS),
        "up_block_types": ["UpDecoderBlock2D"] * len(CHANNELS),
        "block_out_channels": CHANNELS,
        "layers_per_block": 1,
        "latent_channels": LATENT_CHANNELS,
        "norm_num_groups": 1,
        "sample_size": SIZE,
        "scaling_factor": 1.0,
        "force_upcast": False,
        "mid_block_add_attention": False,
    }
    vae = AutoencoderKL.from_config(config)
    init_as_linear_codec(vae)
    return vae


def _route(conv: LibraryModel, routes: Mapping[int, Mapping[int, float | Tensor]]) -> None:
    """Overwrite output channels: ``routes[out][in]`` is a centre weight, or a whole kernel; all else becomes 0."""
    middle = conv.kernel_size[0] // 2
    for out, sources in routes.items():
        conv.weight[out] = 0
        conv.bias[out] = 0
        for source, value in sources.items():
            if isinstance(value, Tensor):
                conv.weight[out, source] = value
            else:
                conv.weight[out, source, middle, middle] = value


def _linear_exit(norm: LibraryModel, pairs: int, constant: float, shortcut: LibraryModel) -> None:
    """Make ``SiLU(norm(x))`` a linear function of the paired channels of ``x``.

    The shortcut before the norm yields +u_i and -u_i (i < pairs) and two constant channels of +-``constant``. Since
    silu(u) - silu(-u) = u for every u, the difference of a pair passes the activation unchanged. The norm has one
    group: the pairs and the constants sum to zero, and the constants outweigh the signal, so that the standard
    deviation is nearly the number ``constant * sqrt(2 / channels)``, which the norm's weight undoes.
    """
    channels = shortcut.weight.shape[0]
    shortcut.weight.zero_()
    shortcut.bias.zero_()
    for i in range(pairs):
        shortcut.weight[i, i] = 1
        shortcut.weight[pairs + i, i] = -1
    shortcut.bias[2 * pairs] = constant
    shortcut.bias[2 * pairs + 1] = -constant
    norm.weight.fill_(constant * (2 / channels) ** 0.5)
    norm.bias.zero_()


@torch.no_grad()
def init_as_linear_codec(vae: LibraryModel) -> None:
    """Set an AutoencoderKL of two downsamplings and one norm group up as a fixed linear codec.

    Every residual branch ends in a zeroed convolution, so a block passes on its shortcut alone. What remains is a
    chain of convolutions and one norm with activation at the end of each half (see :func:`_linear_exit`). The
    encoder averages 2 x 2 px twice: three opponent channels, and as the fourth the diagonal difference of the four
    2 x 2 grey means. The decoder enlarges the means with a smooth kernel and goes back to RGB; the fourth latent
    and all further channels are left to training.
    """
    for module in vae.modules():
        if module.__class__.__name__ == "ResnetBlock2D":
            module.conv2.weight.zero_()
            module.conv2.bias.zero_()
    encoder, decoder = vae.encoder, vae.decoder
    mean = F.pad(torch.full((2, 2), 0.25), (0, 1, 0, 1))
    diagonal = F.pad(torch.diag(torch.tensor([0.5, -0.5])), (0, 1, 0, 1))
    colors = range(3)

    _route(encoder.conv_in, {i: {j: float(OPPONENT[i, j]) for j in colors} for i in colors})
    _route(encoder.down_blocks[0].downsamplers[0].conv, {i: {i: mean} for i in colors})
    _route(encoder.down_blocks[1].resnets[0].conv_shortcut, {i: {i: 1.0} for i in colors})
    _route(encoder.down_blocks[1].downsamplers[0].conv, {i: {i: mean} for i in colors} | {3: {0: diagonal}})
    _linear_exit(encoder.conv_norm_out, LATENT_CHANNELS, 8.0, encoder.down_blocks[2].resnets[0].conv_shortcut)
    gains = {i: {i: float(g), LATENT_CHANNELS + i: -float(g)} for i, g in enumerate(GAINS)}
    _route(encoder.conv_out, gains | {LATENT_CHANNELS + i: {} for i in range(LATENT_CHANNELS)})
    encoder.conv_out.bias[LATENT_CHANNELS:] = -6.0  # log variance of the latents: nearly exact
    for conv in (vae.quant_conv, vae.post_quant_conv):
        conv.weight.copy_(torch.eye(conv.weight.shape[0])[..., None, None])
        conv.bias.zero_()

    smooth = torch.tensor([0.25, 0.5, 0.25])
    smooth = smooth[:, None] * smooth[None, :]
    _route(decoder.conv_in, {i: {i: 1 / float(g)} for i, g in enumerate(GAINS)})
    _route(decoder.up_blocks[0].upsamplers[0].conv, {i: {i: smooth} for i in colors})
    _route(decoder.up_blocks[1].resnets[0].conv_shortcut, {i: {i: 1.0} for i in colors})
    _route(decoder.up_blocks[1].upsamplers[0].conv, {i: {i: smooth} for i in colors})
    _linear_exit(decoder.conv_norm_out, 3, 8.0, decoder.up_blocks[2].resnets[0].conv_shortcut)
    to_rgb = torch.linalg.inv(OPPONENT)
    decoder.conv_out.weight.mul_(0.05)
    _route(decoder.conv_out, {i: {} for i in colors})
    for i in colors:
        for j in colors:
            decoder.conv_out.weight[i, j, 1, 1] = to_rgb[i, j]
            decoder.conv_out.weight[i, 3 + j, 1, 1] = -to_rgb[i, j]


@torch.no_grad()
def equalise_latents(vae: LibraryModel, pictures: Tensor) -> None:
    """Fold scales and shifts into the two 1 x 1 convolutions so that every latent channel has mean 0 and deviation 1.

    The decoded pictures stay exactly the same; noise of one strength then means the same to every channel.

    Args:
        pictures: float (N, 3, H, W) in [-1, 1], over which mean and deviation are taken.
    """
    latents = torch.cat([vae.encode(part).latent_dist.mean for part in pictures.split(32)])
    shift, scale = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
    count = len(scale)
    inner, outer = vae.quant_conv, vae.post_quant_conv
    inner.weight[:count] /= scale[:, None, None, None]
    inner.bias[:count] = (inner.bias[:count] - shift) / scale
    inner.bias[count:] -= 2 * scale.log()
    outer.bias += outer.weight[..., 0, 0] @ shift
    outer.weight *= scale[None, :, None, None]


def to_tensor(pixels: np.ndarray) -> Tensor:
    """Return uint8 (N, H, W, 3) as float (N, 3, H, W) in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))).float() / 127.5 - 1


@torch.no_grad()
def encode(vae: LibraryModel, pictures: Tensor) -> np.ndarray:
    """Return the latents of float pictures (N, 3, H, W) in [-1, 1] as float16."""
    return vae.encode(pictures).latent_dist.mode().half().numpy()


def _crop(pixels: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> tuple[slice, slice]:
    """Return a square window: around a random pixel of the object for two thirds, anywhere for the rest."""
    corner = rng.integers(0, SIZE - CROP + 1, 2)
    if mask.any() and rng.random() < 2 / 3:
        inside = np.argwhere(mask)
        corner = np.clip(inside[rng.integers(len(inside))] - CROP // 2, 0, SIZE - CROP)
    top, left = (int(c) // 4 * 4 for c in corner)
    return slice(top, top + CROP), slice(left, left + CROP)


class VaeBatches:
    """Draws training pictures: scenes (some masked grey, as inpainting sees them), empty places, materials."""

    def __init__(self, scenes: RenderedSet, bank: Bank, batch_size: int) -> None:
        self.scenes, self.batch_size = scenes, batch_size
        self.bank = np.concatenate([*bank.places.values(), *bank.materials.values()])

    def __call__(self, step: TrainingStep) -> Tensor:
        """Return float (batch, 3, H, W) in [-1, 1]: crops, then from WHOLE_FROM on a quarter as many whole pictures."""
        whole = step.progress >= WHOLE_FROM
        count = self.batch_size // 4 if whole else self.batch_size
        return torch.cat([self._one(step.rng, whole) for _ in range(count)])

    def _one(self, rng: np.random.Generator, whole: bool) -> Tensor:
        if rng.random() < 0.12:
            pixels = self.bank[rng.integers(len(self.bank))]
            mask = np.zeros(pixels.shape[:2], bool)
        else:
            index = rng.integers(len(self.scenes.scenes))
            pixels, mask = self.scenes.images[index], self.scenes.masks[index] > 0
        rows, columns = (slice(None), slice(None)) if whole else _crop(pixels, mask, rng)
        picture, inside = to_tensor(pixels[None, rows, columns]), torch.from_numpy(mask[rows, columns])
        kind = rng.random()
        if kind < 0.16:
            picture = torch.where(inside if kind < 0.08 else ~inside, 0.0, picture)
        return picture.flip(-1) if rng.random() < 0.5 else picture


def _differences(x: Tensor) -> tuple[Tensor, Tensor]:
    return x[..., 1:, :] - x[..., :-1, :], x[..., :, 1:] - x[..., :, :-1]


def reconstruction_losses(vae: LibraryModel, x: Tensor, noise: torch.Generator) -> dict[str, Tensor]:
    """Return the loss (absolute, squared, gradient and hue error, a touch of KL) and its parts, each a scalar."""
    posterior = vae.encode(x).latent_dist
    y = vae.decode(posterior.sample(noise)).sample
    hue = torch.einsum("ij,njhw->nihw", OPPONENT, F.avg_pool2d(y - x, 2))
    parts = {
        "l1": (y - x).abs().mean(),
        "mse": (y - x).square().mean(),
        "gradient": torch.stack([(a - b).abs().mean() for a, b in zip(_differences(y), _differences(x))]).sum(),
        "hue": hue.abs().mean(),
        "kl": posterior.kl().mean() / posterior.mean[0].numel(),
    }
    loss = parts["l1"] + 2 * parts["mse"] + 0.5 * parts["gradient"] + 2 * parts["hue"] + 1e-4 * parts["kl"]
    return {"loss": loss, **parts}


@torch.no_grad()
def reconstruct(vae: LibraryModel, pixels: np.ndarray) -> np.ndarray:
    """Encode and decode uint8 pictures (N, H, W, 3)."""
    parts = [vae.decode(vae.encode(part).latent_dist.mode()).sample for part in to_tensor(pixels).split(16)]
    return ((torch.cat(parts).clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()


def measure(vae: LibraryModel, held_out: RenderedSet, count: int) -> dict[str, Any]:
    """Return PSNR (dB) of held-out natural and other scenes, and how often each colour is still the nearest one."""
    natural, other = (np.flatnonzero(held_out.natural == kind)[:count] for kind in (True, False))
    colored = [i for i in other if held_out.scenes[i].color]
    rebuilt = {kind: reconstruct(vae, held_out.images[ids]) for kind, ids in (("natural", natural), ("other", other))}
    again = reconstruct(vae, held_out.images[colored])
    names, masks = [held_out.scenes[i].color or "" for i in colored], held_out.masks[colored] > 0
    return {
        "psnr_natural_db": round(psnr(held_out.images[natural], rebuilt["natural"]), 2),
        "psnr_other_db": round(psnr(held_out.images[other], rebuilt["other"]), 2),
        "color_recognised_in_renders": recognised_colors(held_out.images[colored], masks, names),
        "color_recognised_in_reconstructions": recognised_colors(again, masks, names),
    }


@click.command()
@training_options(
    TrainingSettings("vae", 8, 1e-3, 14.0, out=VAE, metrics=METRICS / "vae.json", weight_decay=1e-4, ema_decay=0.995),
    threads=2,
)
def command(settings: TrainingSettings) -> None:
    """Train the autoencoder and write it, its latents equalised, with its figures."""
    scenes, bank = load_images(settings.images, "train"), load_bank(settings.images)
    vae = build_vae()
    batches = VaeBatches(scenes, bank, settings.batch_size)

    def export() -> None:
        finished = copy.deepcopy(vae).eval()
        equalise_latents(finished, to_tensor(scenes.images[:512]))
        with staged_folder(settings.out) as staging:
            finished.save_pretrained(staging)

    def losses(step: TrainingStep) -> dict[str, Tensor]:
        return reconstruction_losses(vae, batches(step), step.generator)

    history = TrainingLoop(settings, {"vae": vae}, losses, export).run()
    figures = measure(vae.eval(), load_images(settings.images, "held_out"), 96)
    settings.write_figures(history, count_parameters(vae), **figures)


if __name__ == "__main__":
    run_command(command)
