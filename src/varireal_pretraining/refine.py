"""Trains the demo ControlNet and IP-Adapter with their SDXL base; ``python -m varireal_pretraining.refine``.

The three learn together, because the base is far from converged: what a step teaches serves all. Nine steps of ten
draw the answers of :mod:`varireal_pretraining.refine_pairs`, under edges, image prompt and sentence; the tenth draws
empty places and materials with the base alone, which must stay able to make them.
"""

from __future__ import annotations

import copy
from pathlib import Path

import click
import torch
from diffusers import ControlNetModel, StableDiffusionXLPipeline
from torch import Tensor
from transformers import CLIPVisionModelWithProjection

from varireal.base.seeding import forked_torch_rng
from varireal.cli import run_command
from varireal_pretraining.base import OUT as BASE
from varireal_pretraining.diffusion import (
    CAPTION_DROP,
    NoiseSchedule,
    TextEncoders,
    drop_captions,
    load_pipeline_parts,
    region_error,
    save_pipeline,
    stack,
    time_ids,
)
from varireal_pretraining.inpaint import TIME_POWER as BANK_TIME_POWER
from varireal_pretraining.inpaint import Samples
from varireal_pretraining.ip_adapter import (
    CLIP,
    WEIGHTS,
    add_ip_adapter,
    convert_image_tower,
    plain_weights,
    save_adapter,
    set_picture_scale,
)
from varireal_pretraining.latents import LATENTS, load_latents
from varireal_pretraining.loop import (
    METRICS,
    LibraryModel,
    TrainingLoop,
    TrainingSettings,
    TrainingStep,
    path_option,
    training_options,
)
from varireal_pretraining.refine_pairs import PAIRS, PairSet, load_pairs

OUT = Path("models/demo/sdxl-base")
#: Folders beside the base's own parts.
CONTROLNET, ADAPTER, IMAGE_ENCODER = "controlnet", "ip-adapter", "image_encoder"
#: Channels of the layers that shrink the edges to the latents' size: 128, 64, 32, 32 px.
EDGE_CHANNELS = (16, 32, 48)
#: Share of the samples that are shown without their image prompt.
PICTURE_DROP = 0.1
#: Weight of the error outside the object against 1 inside: only the object of a refined picture is used.
OUTSIDE_WEIGHT = 0.05
#: See :meth:`NoiseSchedule.add_noise`: refinement mostly begins at a half-finished picture.
TIME_POWER = 1.6
#: Every how many steps the base alone draws places and materials.
BANK_EVERY = 10


def build_controlnet(unet: LibraryModel, seed: int) -> LibraryModel:
    """Return a ControlNet that starts as the UNet's first half and changes nothing yet; the UNet has no IP-Adapter."""
    with forked_torch_rng("pretraining", "controlnet", seed):
        return ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=EDGE_CHANNELS)


class RefineLoss:
    """The loss of one step of UNet (with its IP-Adapter) and ControlNet.

    Args:
        places: draws empty places and materials alone.
    """

    def __init__(
        self,
        unet: LibraryModel,
        controlnet: LibraryModel,
        text: TextEncoders,
        pairs: PairSet,
        places: Samples,
        batch_size: int,
    ) -> None:
        self.unet, self.controlnet, self.pairs, self.places = unet, controlnet, pairs, places
        self.batch_size = batch_size
        self.schedule = NoiseSchedule()
        self.text = text
        self.encoded: dict[str, tuple[Tensor, Tensor]] = {}

    @torch.no_grad()
    def _encode(self, sentences: list[str]) -> tuple[Tensor, Tensor]:
        """Return states and pooled text; the encoders do not learn, so each sentence is encoded once."""
        for sentence in sentences:
            if sentence not in self.encoded:
                states, pooled = self.text(self.text.token_ids([sentence]))
                self.encoded[sentence] = states[0], pooled[0]
        states, pooled = zip(*(self.encoded[sentence] for sentence in sentences), strict=True)
        return torch.stack(states), torch.stack(pooled)

    def __call__(self, step: TrainingStep) -> Tensor:
        return self._bank_loss(step) if step.index % BANK_EVERY == BANK_EVERY - 1 else self._pair_loss(step)

    def _pair_loss(self, step: TrainingStep) -> Tensor:
        pairs = self.pairs
        chosen = step.rng.integers(len(pairs.sentences), size=self.batch_size)
        t, noisy, target = self.schedule.add_noise(stack(list(pairs.answer[chosen])), step.generator, TIME_POWER)
        states, pooled = self._encode([pairs.sentences[index] for index in chosen])
        states, pooled = drop_captions(states, pooled, CAPTION_DROP, step.generator)
        pictures = torch.from_numpy(pairs.prompts[chosen]).float()
        dropped = torch.rand(self.batch_size, generator=step.generator) < PICTURE_DROP
        pictures = torch.where(dropped[:, None, None], torch.tensor(pairs.nothing).float(), pictures)
        edges = torch.from_numpy(pairs.edges[chosen]).float()[:, None].expand(-1, 3, -1, -1) / 255
        added = {"text_embeds": pooled, "time_ids": time_ids(self.batch_size)}
        noisy = noisy.contiguous(memory_format=torch.channels_last)
        down, middle = self.controlnet(noisy, t, states, edges, added_cond_kwargs=added, return_dict=False)
        set_picture_scale(self.unet, 1.0)
        guess = self.unet(
            noisy,
            t,
            states,
            added_cond_kwargs={**added, "image_embeds": [pictures[:, None]]},
            down_block_additional_residuals=down,
            mid_block_additional_residual=middle,
        ).sample
        return region_error(guess, target, stack(list(pairs.object[chosen])), OUTSIDE_WEIGHT)

    def _bank_loss(self, step: TrainingStep) -> Tensor:
        drawn = [self.places.draw(step.rng) for _ in range(self.batch_size)]
        clean = stack([sample.whole for sample in drawn])
        t, noisy, target = self.schedule.add_noise(clean, step.generator, BANK_TIME_POWER)
        states, pooled = self._encode([sample.sentence for sample in drawn])
        states, pooled = drop_captions(states, pooled, CAPTION_DROP, step.generator)
        nothing = torch.tensor(self.pairs.nothing).float()[None, None].expand(self.batch_size, -1, -1, -1)
        added = {"text_embeds": pooled, "time_ids": time_ids(self.batch_size), "image_embeds": [nothing]}
        set_picture_scale(self.unet, 0.0)
        guess = self.unet(noisy.contiguous(memory_format=torch.channels_last), t, states, added_cond_kwargs=added)
        return (guess.sample - target).square().mean()


def export(
    out: Path,
    base: LibraryModel,
    unet: LibraryModel,
    controlnet: LibraryModel,
    encoder: CLIPVisionModelWithProjection,
    vae: LibraryModel,
    text: TextEncoders,
) -> None:
    """Write base, ControlNet, IP-Adapter and its image encoder into one folder, in float16, at once or not at all.

    Args:
        base: a UNet without IP-Adapter; its weights are replaced.
        encoder: is left in float16.
    """
    base.load_state_dict(plain_weights(unet))

    def write_parts(folder: Path) -> None:
        copy.deepcopy(controlnet).eval().half().save_pretrained(folder / CONTROLNET)
        (folder / ADAPTER).mkdir()
        save_adapter(unet, folder / ADAPTER / WEIGHTS)
        encoder.half().save_pretrained(folder / ADAPTER / IMAGE_ENCODER)

    save_pipeline(StableDiffusionXLPipeline, out, vae, text, base, write_parts)


@click.command()
@training_options(
    TrainingSettings(
        "refine", 8, 5e-4, 45.0, out=OUT, metrics=METRICS / "refine.json", hold=0.4, ema_decay=0.995, log_steps=50
    ),
    threads=2,
)
@path_option("--pairs", PAIRS)
@path_option("--latents", LATENTS)
@path_option("--clip", CLIP)
@path_option("--base base_folder", BASE)
def command(settings: TrainingSettings, pairs: Path, latents: Path, clip: Path, base_folder: Path) -> None:
    """Train ControlNet and IP-Adapter together with the base that they steer; text encoders and autoencoder stay."""
    vae, text, base = load_pipeline_parts(base_folder)
    for encoder in (text.first, text.second):
        encoder.eval().requires_grad_(False)
    controlnet, unet = build_controlnet(base, settings.seed), copy.deepcopy(base)
    drawn, encoder = load_pairs(pairs), convert_image_tower(clip)
    add_ip_adapter(unet, drawn.nothing.shape[-1], settings.seed)
    unet, controlnet = (part.train().to(memory_format=torch.channels_last) for part in (unet, controlnet))
    loop = TrainingLoop(
        settings,
        {"unet": unet, "controlnet": controlnet},
        RefineLoss(unet, controlnet, text, drawn, Samples(load_latents(latents), [], 1.0), settings.batch_size),
        lambda: export(settings.out, base, unet, controlnet, encoder, vae, text),
    )
    history = loop.run()
    counts = {
        "base": base.num_parameters(),
        "controlnet": controlnet.num_parameters(),
        "ip_adapter": unet.num_parameters() - base.num_parameters(),
    }
    settings.write_figures(history, counts)


if __name__ == "__main__":
    run_command(command)
