"""How near edits come to true renders, with and without refinement; ``python -m varireal_pretraining.refine_figures``.

The pairs of :mod:`varireal_pretraining.refine_pairs` know what an edit should look like: the same aircraft, rendered
with the asked surface. Other seeds than the training's, so none of these aircraft was trained on.
"""

from __future__ import annotations

from pathlib import Path

import click
import cv2
import numpy as np

from varireal.base.files import json_bytes, write_json
from varireal.base.seeding import derive_seed
from varireal.cli import run_command
from varireal.config import ComputeConfig, InpaintConfig
from varireal.config.editing import IpAdapterConfig, PartConfig, RefineConfig
from varireal.editing.inpaint import Inpainter
from varireal.editing.pixels import dilate, luma, on_grey
from varireal.editing.recipe import EXAMPLE_GREY
from varireal.editing.refine import Refiner
from varireal.prompts.templates import Sentence
from varireal_pretraining.figures import color_distance
from varireal_pretraining.inpaint import OUT as INPAINT
from varireal_pretraining.ip_adapter import WEIGHTS
from varireal_pretraining.loop import METRICS, path_option, process_options
from varireal_pretraining.refine import ADAPTER, CONTROLNET, OUT
from varireal_pretraining.refine_pairs import RefinePair, draw_pair

#: Real steps of each refinement; the pipeline wants them divided by the strength.
STEPS = 4
BATCH = 16
#: Deviation in pixels of the low-pass that fine detail is what remains of.
DETAIL_SIGMA = 2.0
#: Name -> strength, scale of the image prompt, scale of the edges.
SETTINGS = {
    "refined at 0.3": (0.3, 1.0, 1.0),
    "refined at 0.6": (0.6, 1.0, 1.0),
    "from noise": (1.0, 1.0, 1.0),
    "from noise, no edges": (1.0, 1.0, 0.0),
    "from noise, no picture": (1.0, 0.0, 1.0),
    "from noise, sentence alone": (1.0, 0.0, 0.0),
}


def detail_correlation(picture: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> float:
    """Return the correlation of the fine luma detail of two uint8 pictures over the masked pixels."""
    fine = [values - cv2.GaussianBlur(values, (0, 0), DETAIL_SIGMA) for values in (luma(picture), luma(truth))]
    return float(np.corrcoef(fine[0][mask], fine[1][mask])[0, 1])


def nearness(pictures: list[np.ndarray], pairs: list[RefinePair]) -> dict[str, float]:
    """Return the mean colour distance and detail correlation of pictures to their pairs' answers, over the objects."""
    both = list(zip(pictures, pairs, strict=True))
    return {
        "color_distance": round(float(np.mean([color_distance(p, q.answer, q.mask) for p, q in both])), 2),
        "detail_correlation": round(float(np.mean([detail_correlation(p, q.answer, q.mask) for p, q in both])), 3),
    }


def paint(
    inpainter: Inpainter, pairs: list[RefinePair], seeds: list[int], strength: float, steps: int
) -> list[np.ndarray]:
    """Return the priors after inpainting of the object and the pixel around it; ``steps`` are real ones."""
    return inpainter.paint(
        [pair.prior for pair in pairs],
        [dilate(pair.mask, 1) for pair in pairs],
        [Sentence(pair.sentence) for pair in pairs],
        seeds,
        strength=strength,
        guidance_scale=1.0,
        num_inference_steps=int(np.ceil(steps / strength)),
    )


def refine(
    refiner: Refiner, painted: list[np.ndarray], pairs: list[RefinePair], seeds: list[int], setting: tuple[float, ...]
) -> list[np.ndarray]:
    """Return painted objects drawn anew with a setting of SETTINGS."""
    strength, picture_scale, edge_scale = setting
    return refiner.refine(
        painted,
        [pair.edges > 0 for pair in pairs],
        [on_grey(picture, pair.mask, EXAMPLE_GREY) for picture, pair in zip(painted, pairs, strict=True)],
        [Sentence(pair.sentence) for pair in pairs],
        seeds,
        guidance_scale=1.0,
        num_inference_steps=int(np.ceil(STEPS / strength)),
        ip_adapter_scale=picture_scale,
        controlnet_conditioning_scale=edge_scale,
    )


@click.command()
@path_option("--base", OUT)
@path_option("--inpaint", INPAINT)
@path_option("--metrics", METRICS / "refined.json")
@click.option("--count", default=32, show_default=True, help="Pairs.")
@process_options()
def command(base: Path, inpaint: Path, metrics: Path, count: int) -> None:
    """Measure how near priors, inpainted and refined objects come to true renders of what was asked."""
    compute = ComputeConfig(device="cpu", dtype="float32")
    inpainter = Inpainter(InpaintConfig(checkpoint=str(inpaint), image_size=128), compute)
    config = RefineConfig(
        checkpoint=str(base),
        controlnet=PartConfig(checkpoint=str(base), subfolder=CONTROLNET),
        ip_adapter=IpAdapterConfig(checkpoint=str(base), subfolder=ADAPTER, weight_name=WEIGHTS),
        image_size=128,
    )
    refiners = {strength: Refiner(config, compute, strength) for strength, *_ in SETTINGS.values()}
    pairs = [draw_pair(1, index) for index in range(count)]
    pictures: dict[str, list[np.ndarray]] = {"photos": [p.photo for p in pairs], "priors": [p.prior for p in pairs]}
    for start in range(0, count, BATCH):
        part = pairs[start : start + BATCH]
        seeds = [derive_seed("pretraining", "refine figures", start + i) for i in range(len(part))]
        painted = paint(inpainter, part, seeds, 0.3, STEPS)
        pictures.setdefault("inpainted at 0.3", []).extend(painted)
        for name, setting in SETTINGS.items():
            pictures.setdefault(name, []).extend(refine(refiners[setting[0]], painted, part, seeds, setting))
    figures = {"pairs": count, "nearness": {name: nearness(shown, pairs) for name, shown in pictures.items()}}
    click.echo(json_bytes(figures).decode())
    write_json(metrics, figures)


if __name__ == "__main__":
    run_command(command)
