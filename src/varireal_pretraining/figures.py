"""Figures of pictures, and the training losses of all networks drawn; ``python -m varireal_pretraining.figures``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import click
import numpy as np

from varireal.base.files import read_json
from varireal.cli import run_command
from varireal.datasets.world.vocabulary import COLORS
from varireal.errors import UserError
from varireal.prompts.llm.near import lab
from varireal_pretraining.loop import METRICS, path_option

#: Quantiles of lightness between which pixels count. Below the middle lie shade, glass and tyres, at the very top the
#: highlights; of the rules tried on 446 held-out renders this named 99.3 % rightly, the median of all pixels 85.9 %.
BRIGHT = (0.5, 0.95)


def nearest_palette_color(image: np.ndarray, mask: np.ndarray, palette: Mapping[str, tuple[int, int, int]]) -> str:
    """Return the palette's name nearest, in CIE Lab, to the median of the brighter half of the object's pixels.

    Args:
        image: uint8 RGB (H, W, 3).
        mask: bool (H, W), true on the object.
        palette: name -> sRGB in 0..255.

    Raises:
        UserError: the mask is empty or of another size, or the palette is empty.
    """
    if mask.shape != image.shape[:2] or not mask.any() or not palette:
        raise UserError("naming a colour needs a palette and a mask of the picture's size with an object in it")
    pixels = lab(image[mask])
    low, high = np.quantile(pixels[:, 0], BRIGHT)
    color = np.median(pixels[(pixels[:, 0] >= low) & (pixels[:, 0] <= high)], axis=0)
    distance = np.linalg.norm(lab(np.array(list(palette.values()))) - color, axis=1)
    return list(palette)[int(distance.argmin())]


def psnr(truth: np.ndarray, guess: np.ndarray) -> float:
    """Return the peak signal-to-noise ratio in dB over all pixels of two uint8 arrays of one shape."""
    error = np.mean((truth.astype(np.float64) - guess.astype(np.float64)) ** 2)
    return float(10 * np.log10(255**2 / error))


def recognised_colors(images: np.ndarray, masks: np.ndarray, names: Sequence[str]) -> dict[str, float]:
    """Return for each asked colour the share of pictures whose nearest palette colour it is, and their mean ("all").

    Args:
        images: uint8 (N, H, W, 3).
        masks: bool (N, H, W), true on the objects.
        names: the asked colours, N of them.
    """
    hits: dict[str, list[float]] = {name: [] for name in sorted(set(names))}
    for image, mask, name in zip(images, masks, names, strict=True):
        hits[name].append(float(nearest_palette_color(image, mask, COLORS) == name))
    every = [hit for own in hits.values() for hit in own]
    shares = {name: round(float(np.mean(own)), 3) for name, own in hits.items()}
    return {**shares, "all": round(float(np.mean(every)), 3)}


def color_distance(picture: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> float:
    """Return the mean distance in CIE Lab (CIE76) of two uint8 pictures over the masked pixels."""
    return float(np.linalg.norm(lab(picture[mask]) - lab(truth[mask]), axis=1).mean())


@click.command()
@path_option("--metrics", METRICS)
@path_option("--out", Path("models/demo/curves.png"))
def command(metrics: Path, out: Path) -> None:
    """Draw the loss over the training minutes of every file of figures that holds a history."""
    from matplotlib.figure import Figure

    records = {path.stem: read_json(path) for path in sorted(metrics.glob("*.json"))}
    histories = {name: record["history"] for name, record in records.items() if record.get("history")}
    if not histories:
        raise UserError(f"no file in {metrics} holds a training history; train a demo model first")
    figure = Figure(figsize=(3.2 * len(histories), 2.6), layout="constrained")
    row_of_axes = figure.subplots(1, len(histories), squeeze=False)[0]
    for axes, (name, history) in zip(row_of_axes, histories.items(), strict=True):
        axes.plot([row["minutes"] for row in history], [row["loss"] for row in history], marker=".")
        axes.set(title=name, xlabel="minutes", ylabel="loss")
    figure.savefig(out, dpi=100)


if __name__ == "__main__":
    run_command(command)
