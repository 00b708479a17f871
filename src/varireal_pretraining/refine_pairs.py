"""Makes what ControlNet and IP-Adapter train on; ``python -m varireal_pretraining.refine_pairs``.

A pair is the same aircraft, seen the same way, twice: as a photo shows it, and wearing the colour or material that an
edit asks for. From the photo come the edges and, through the pipeline's own prior, the image prompt; the other one is
the answer. All seeds begin with "pretraining", so no picture here can occur in the rendered data set.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import cv2
import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional
from transformers import CLIPVisionModelWithProjection

from varireal.base.files import json_bytes, read_json, staged_folder
from varireal.base.seeding import generator
from varireal.cli import run_command
from varireal.compute.processes import map_in_order
from varireal.datasets.world.materials import render_material
from varireal.datasets.world.render import Scene, render_scene, sample_scene
from varireal.datasets.world.vocabulary import COLORS, DOMAIN_WORD, MATERIALS
from varireal.editing.pixels import blurred_edges, on_grey, quantise
from varireal.editing.priors import cover_crop, surface_prior
from varireal.editing.recipe import EXAMPLE_GREY
from varireal.prompts.templates import edit_prompt
from varireal_pretraining.captions import surface_phrase
from varireal_pretraining.clip import normalize
from varireal_pretraining.images import SIZE, create_arrays, load_arrays
from varireal_pretraining.inpaint import OUT as INPAINT
from varireal_pretraining.ip_adapter import CLIP, convert_image_tower
from varireal_pretraining.latents import CELL
from varireal_pretraining.loop import WORKSPACE, LibraryModel, path_option, process_options
from varireal_pretraining.vae import encode, to_tensor
from varireal_pretraining.views import channels_first

log = logging.getLogger(__name__)

PAIRS = WORKSPACE / "refine_pairs"
#: Ranges of a prompt's look: share of the surface in a prior; then, for the flaws of a painted object, the deviations
#: of its blur in pixels and of its blotches in grey levels.
ALPHA, BLUR, BLOTCHES = (0.85, 1.0), (0.3, 1.5), (0.0, 12.0)
#: Least share of a material's picture, per side, that a crop keeps: the recipes' crop_min.
MATERIAL_ZOOM = 0.7
#: Share of the image prompts that show the prior; the others show the answer.
PRIOR_SHARE = 0.7
CHUNK = 25


@dataclass(frozen=True)
class RefinePair:
    """``photo``, ``prior``, ``prompt`` and ``answer``: uint8 pictures (128, 128, 3); the others are (128, 128)."""

    photo: np.ndarray
    prior: np.ndarray
    answer: np.ndarray
    prompt: np.ndarray
    edges: np.ndarray  # uint8 0/255
    mask: np.ndarray  # bool, true on the object
    sentence: str


@dataclass(frozen=True)
class PairSet:
    """Arrays by pair, memory-mapped.

    ``answer`` float16 (N, 4, 32, 32): latents; ``object`` float16 (N, 1, 32, 32): share of each cell that is object;
    ``edges`` uint8 (N, 128, 128); ``prompts`` float16 (N, tokens, width): what the image encoder says of the image
    prompts; ``nothing`` float16 (tokens, width): of the blank picture that guidance leads away from.
    """

    answer: np.ndarray
    object: np.ndarray
    edges: np.ndarray
    prompts: np.ndarray
    nothing: np.ndarray
    sentences: list[str]


def image_prompt(picture: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the object of a picture on grey, uint8, with the flaws that a painted object has: blurred, blotchy."""
    blurred = cv2.GaussianBlur(picture.astype(np.float32), (0, 0), rng.uniform(*BLUR))
    coarse = rng.normal(0, rng.uniform(*BLOTCHES), (SIZE // CELL, SIZE // CELL, 3)).astype(np.float32)
    flawed = blurred + cv2.resize(coarse, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
    return on_grey(quantise(flawed), mask, EXAMPLE_GREY)


def draw_pair(seed: int, index: int) -> RefinePair:
    """Render one pair: a natural photo, and its aircraft with any colour or material, all equally likely."""
    rng = generator("pretraining", "refine", seed, index)
    scene = sample_scene(rng, natural=True)
    which = int(rng.integers(len(COLORS) + len(MATERIALS)))
    color, material = None, None
    if which < len(COLORS):
        color = tuple(COLORS)[which]
        surface = np.array(COLORS[color], np.float32)
    else:
        material = MATERIALS[which - len(COLORS)]
        surface = cover_crop(render_material(material, rng, SIZE), SIZE, SIZE, rng, MATERIAL_ZOOM)
    asked = Scene(scene.class_name, scene.place, color, material, None)
    # Shape, view and light are drawn before the surface, so equal seeds give the same aircraft.
    photo, answer = (
        render_scene(each, generator("pretraining", "refine", seed, index, "view"), SIZE) for each in (scene, asked)
    )
    mask = photo.mask > 127
    prior = surface_prior(photo.image, mask, surface, rng.uniform(*ALPHA), keep_shading=True, softness=0.35)
    shown = prior if rng.random() < PRIOR_SHARE else answer.image
    sentence = edit_prompt("color", surface_phrase(asked), scene.class_name, DOMAIN_WORD)
    edges = blurred_edges(photo.image, mask).astype(np.uint8) * 255
    prompt = image_prompt(shown, mask, rng)
    return RefinePair(photo.image, prior, answer.image, prompt, edges, mask, sentence)


def _pairs(job: tuple[int, range]) -> list[RefinePair]:
    seed, indices = job
    return [draw_pair(seed, index) for index in indices]


@torch.no_grad()
def states_of(encoder: CLIPVisionModelWithProjection, normalized: Tensor) -> np.ndarray:
    """Return what an IP-Adapter-Plus sees of preprocessed pictures: the last but one states, float16."""
    return encoder(normalized, output_hidden_states=True).hidden_states[-2].half().numpy()


@torch.no_grad()
def encode_pairs(
    chunks: Iterator[list[RefinePair]],
    count: int,
    vae: LibraryModel,
    encoder: CLIPVisionModelWithProjection,
    folder: Path,
) -> None:
    """Write the arrays of a :class:`PairSet` into an existing folder."""
    side = SIZE // CELL
    nothing = states_of(encoder, torch.zeros(1, 3, SIZE, SIZE))[0]  # what diffusers shows where there is no picture
    kinds = {
        "answer": (np.float16, (4, side, side)),
        "object": (np.float16, (1, side, side)),
        "edges": (np.uint8, (SIZE, SIZE)),
        "prompts": (np.float16, nothing.shape),
    }
    arrays = create_arrays(folder, count, kinds)
    sentences: list[str] = []
    for chunk in chunks:
        part = slice(len(sentences), len(sentences) + len(chunk))
        answers = to_tensor(np.stack([pair.answer for pair in chunk]))
        arrays["answer"][part] = encode(vae, answers)
        masks = torch.from_numpy(np.stack([pair.mask for pair in chunk]))[:, None].float()
        arrays["object"][part] = functional.avg_pool2d(masks, CELL).half().numpy()
        arrays["edges"][part] = np.stack([pair.edges for pair in chunk])
        prompts = channels_first(np.stack([pair.prompt for pair in chunk]))
        arrays["prompts"][part] = states_of(encoder, normalize(prompts))
        sentences += [pair.sentence for pair in chunk]
        if len(sentences) % (4 * CHUNK) == 0:
            log.info("pairs: %d of %d", len(sentences), count)
    np.save(folder / "nothing.npy", nothing)
    (folder / "sentences.json").write_bytes(json_bytes(sentences))


def load_pairs(folder: Path) -> PairSet:
    """Load what :func:`encode_pairs` wrote, memory-mapped read-only."""
    arrays = load_arrays(folder, "answer", "object", "edges", "prompts", "nothing")
    return PairSet(**arrays, sentences=read_json(folder / "sentences.json"))


@click.command()
@path_option("--out", PAIRS)
@path_option("--vae vae_folder", INPAINT / "vae")
@path_option("--clip", CLIP)
@click.option("--count", default=2000, show_default=True, help="Pairs.")
@click.option("--workers", default=2, show_default=True, help="Rendering processes; 1: the encoding one.")
@click.option("--seed", default=0, show_default=True)
@process_options()
def command(out: Path, vae_folder: Path, clip: Path, count: int, workers: int, seed: int) -> None:
    """Render and encode the pairs that ControlNet and IP-Adapter are trained on."""
    vae = AutoencoderKL.from_pretrained(vae_folder).float().eval()
    encoder = convert_image_tower(clip)
    jobs = [(seed, range(start, min(count, start + CHUNK))) for start in range(0, count, CHUNK)]
    with staged_folder(out) as staging:
        encode_pairs(map_in_order(_pairs, jobs, workers), count, vae, encoder, staging)


if __name__ == "__main__":
    run_command(command)
