"""The steps of the recipes on real photos, the study's way beside ours: python -m benchmarks.recipe PHOTOS MASKS

No network runs: the priors are flat or noise, and in place of the inpainting model stands one that paints everything in
noise, so that what is kept of a photo can be counted. PHOTOS has one folder a class, MASKS the same names.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from varireal.base.files import read_image, read_mask
from varireal.config import Recipe
from varireal.editing.colours import changing
from varireal.editing.drafts import Draft
from varireal.editing.matting import find_matte
from varireal.editing.pixels import (
    Letterbox,
    blurred_edges,
    canny_edges,
    difference,
    dilate,
    dilate_by_square,
    edited_region,
)
from varireal.editing.recipe import Composite, Inpaint, PasteColor, PastePicture
from varireal.prompts import AttributeSpec

SIDE = 1024  # of the square in whose pixels the study's lengths are
KERNEL = 120  # the study's d for pets
CONF = Path(__file__).parents[1] / "conf" / "dataset"
BANK = Path(__file__).parents[1] / "data" / "banks" / "pets.yaml"


class Noise:
    """Paints every pixel anew, whatever it is given, and remembers how much it was asked for."""

    image_size = SIDE

    def paint(self, pictures: Any, masks: Any, sentences: Any, seeds: Any, **_: Any) -> list[np.ndarray]:
        self.share = float(masks[0].mean())
        return [np.random.default_rng(seed).integers(0, 256, picture.shape, np.uint8) for picture, seed in
                zip(pictures, seeds)]  # fmt: skip


class OnePicture:
    """Offers noise as the picture of every place."""

    def pick(self, spec: Any, rng: np.random.Generator) -> np.ndarray:
        return np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)


class Job:
    """As much of a job as the steps look at."""

    def __init__(self, attribute: str, rgb: tuple[int, int, int] = (0, 0, 0)) -> None:
        self.attribute, self.sentence = attribute, None
        self.spec = AttributeSpec(name="value", phrase="value", rgb=rgb)


def pairs(photos: Path, masks: Path) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield every photo that has a mask of its size: name, uint8 (H, W, 3) and bool (H, W)."""
    for path in sorted(masks.rglob("*.png")):
        name = path.relative_to(masks).with_suffix("")
        [photo] = [each for each in (photos / name.parent).iterdir() if each.stem == name.name]
        pixels, mask = read_image(photo), read_mask(path)
        if mask.any() and not mask.all() and mask.shape == pixels.shape[:2]:
            yield name.as_posix(), pixels, mask


def recipe(dataset: str, attribute: str, **changes: Any) -> Recipe:
    """Return the recipe that a data set's group ships for feasible edits."""
    shipped = yaml.safe_load((CONF / f"{dataset}.yaml").read_text())["edit"]["recipes"][attribute]["feasible"]
    return Recipe(**{**shipped, **changes})


def draft(photo: np.ndarray, mask: np.ndarray, how: Recipe, job: Any, lengths_at: int | None = SIDE) -> Draft:
    """Return the draft of an attempt at a photo in memory."""
    scale = max(mask.shape) / lengths_at if lengths_at else 1.0
    matte = find_matte(photo, mask, how.rim * scale) if how.rim else None
    region = edited_region(job.attribute, mask, how.dilation * scale, how.rim * scale)
    return Draft(job, 7, photo, mask, region, region, scale, matte, photo, photo, photo)


def background(photo: np.ndarray, mask: np.ndarray, how: Recipe) -> dict[str, float]:
    """Return what of the old background a painted edit keeps, in per cent, and which share of the square is painted."""
    noise = Noise()
    drafts = [draft(photo, mask, how, Job("background"))]
    for step in (PastePicture(how, OnePicture(), ring=True), Inpaint(how, noise), Composite(how)):
        drafts = step(drafts)
    same = (drafts[0].picture == photo).all(-1)
    return {"kept to the bit": 100 * same[~mask].mean(), "painted": 100 * noise.share}


def lost(photo: np.ndarray, mask: np.ndarray, how: Recipe, lengths_at: int | None) -> float:
    """Return which share of the masked object a background edit does not keep, in per cent."""
    scale = max(mask.shape) / lengths_at if lengths_at else 1.0
    if how.rim:
        kept = find_matte(photo, mask, how.rim * scale).alpha
    else:
        kept = (~edited_region("background", mask, how.dilation * scale)).astype(np.float32)
    return 100 * float((mask * (1 - np.minimum(kept, 1))).sum() / mask.sum())


def measure(photo: np.ndarray, mask: np.ndarray) -> dict[str, float]:
    """Return the figures of one photo."""
    shipped = recipe("oxford_pets", "background")
    ours = background(photo, mask, shipped)
    old = background(photo, mask, shipped.model_copy(update={"dilation": KERNEL, "prior_kernel": 0, "mask_blur": 6.5}))
    box, black = Letterbox(*mask.shape, SIDE), Letterbox(*mask.shape, SIDE, black=True)
    square, on_square = box.image(photo), box.mask(mask)
    scale = max(mask.shape) / SIDE
    ring = dilate_by_square(mask, KERNEL * scale) & ~mask
    own = recipe("image_folder", "background")
    hole = _filled(mask) & ~mask
    return {
        "background: old kept to the bit %, before": old["kept to the bit"],
        "background: old kept to the bit %, now": ours["kept to the bit"],
        "background: painted % of the square, before": old["painted"],
        "background: painted % of the square, now (mirrored bars, not painted)": ours["painted"],
        "background: painted % of the square, study (black bars, painted)": 100 * black.mask(~mask, bars=True).mean(),
        "background: ring in the prior, % of the photo": 100 * ring.mean(),
        "background: ring by a radius of d instead, %": 100 * (dilate(mask, KERNEL * scale) & ~mask).mean(),
        "edges: pixels inside the object, sharp (study, now)": canny_edges(square, on_square)[on_square].sum(),
        "edges: pixels inside the object, blurred (before)": blurred_edges(square, on_square)[on_square].sum(),
        "mask: beside its largest fragment, %": 100 * (mask & ~_filled(mask)).sum() / mask.sum(),
        "mask: holes that filling would add, %": 100 * hole.sum() / mask.sum(),
        "own photos: object lost %, before (-5 px)": lost(photo, mask, Recipe(dilation=-5), None),
        "own photos: object lost %, -2 px by the photo's size": lost(photo, mask, Recipe(dilation=-5), SIDE),
        "own photos: object lost %, now (matted)": lost(photo, mask, own, SIDE),
    }


def _filled(mask: np.ndarray) -> np.ndarray:
    """Return the largest contour of a mask, filled, as the study takes it."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    whole = np.zeros(mask.shape, np.uint8)
    cv2.drawContours(whole, [max(contours, key=cv2.contourArea)], -1, 1, cv2.FILLED)
    return whole > 0


def colours(photo: np.ndarray, mask: np.ndarray, number: int) -> Iterator[tuple[str, float]]:
    """Yield the mean difference in CIELAB that pasted colours make to the object, for all and for those asked for."""
    table = yaml.safe_load(BANK.read_text())["color"]
    for kind in ("feasible", "infeasible"):
        how = recipe("image_folder", "color")
        specs = [AttributeSpec(**value) for value in table[kind]["all"]]
        asked = changing(photo, mask, specs, how.least_change)
        [laid] = [draft(photo, mask, how, Job("color"))]
        for spec in specs[number % 2 :: 2]:
            [done] = PasteColor(how)([dataclasses.replace(laid, job=Job("color", spec.rgb))])
            change = float(difference(photo, done.picture)[mask].mean())
            yield f"{kind}, every colour", change
            if spec in asked:
                yield f"{kind}, colours asked for", change


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("masks", type=Path)
    parser.add_argument("--every", type=int, default=1, help="look at every so manieth photo")
    asked = parser.parse_args()
    chosen = list(pairs(asked.photos, asked.masks))[:: asked.every]
    rows = [measure(photo, mask) for _, photo, mask in chosen]
    print(f"| {len(rows)} photos | mean | worst |\n| --- | --- | --- |")
    for name in rows[0]:
        values = [row[name] for row in rows]
        print(f"| {name} | {statistics.fmean(values):,.1f} | {max(values):,.1f} |")
    changes: dict[str, list[float]] = {}
    for number, (_, photo, mask) in enumerate(chosen):
        for kind, change in colours(photo, mask, number):
            changes.setdefault(kind, []).append(change)
    print("\n| own photos: colours | edits | mean difference in CIELAB | below 10 |\n| --- | --- | --- | --- |")
    for kind, values in sorted(changes.items()):
        little = statistics.fmean(value < 10 for value in values)
        print(f"| {kind} | {len(values)} | {statistics.fmean(values):.1f} | {little:.1%} |")


if __name__ == "__main__":
    main()
