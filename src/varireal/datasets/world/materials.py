"""Materials as flat close-up pictures: what an aircraft is covered with, and the ready-made priors of texture edits.

A painter gets the side of a square canvas and returns (side, side, 3) float32. Patterns are sized as a share of the
side and coarse (at least nine pixels a period at 128 px), because a fuselage is only some fifteen pixels thick.
"""

from collections.abc import Callable

import cv2
import numpy as np

from varireal.datasets.world.canvas import Rng, blend, finish, flat, fractal_noise, jitter
from varireal.datasets.world.vocabulary import MATERIALS, check_word

SUPERSAMPLING = 3


def _grid(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return pixel coordinates as shares of the side: x and y, each (side, side) in 0..1."""
    axis = (np.arange(side, dtype=np.float32) + 0.5) / side
    x, y = np.meshgrid(axis, axis)
    return x, y


def _riveted_metal(rng: Rng, side: int) -> np.ndarray:
    x, y = _grid(side)
    panel = rng.uniform(0.105, 0.125)
    column, row = x / panel, y / panel
    tone = rng.uniform(0.82, 1.08, (16, 16)).astype(np.float32)[row.astype(int), column.astype(int)]
    metal = flat(jitter(rng, (172, 178, 186), 6), side, side) * tone[..., None]
    metal *= (0.92 + 0.16 * fractal_noise(rng, side, side, 10, 2, stretch=0.15))[..., None]
    in_x, in_y = column % 1, row % 1
    seam = (in_x < 0.1) | (in_y < 0.1)
    metal[seam] = (84, 90, 98)
    rivet = np.minimum(np.abs(in_x % 0.45 - 0.28), 1) ** 2 + np.minimum(np.abs(in_y % 0.45 - 0.28), 1) ** 2 < 0.0072
    metal[rivet & ~seam] = (72, 76, 84)
    return metal


def _carbon_fiber(rng: Rng, side: int) -> np.ndarray:
    x, y = _grid(side)
    tow = rng.uniform(0.06, 0.07)
    column, row = x / tow, y / tow
    # A 2x2 twill: the over-tow moves on by one column every row.
    over = ((column.astype(int) + row.astype(int)) % 4) < 2
    sheen = np.where(over, np.sin(np.pi * (column % 1)), np.sin(np.pi * (row % 1))) * 26
    base = np.where(over, 74.0, 20.0) + sheen
    return base[..., None].astype(np.float32) * np.array((0.95, 0.98, 1.06), np.float32) + rng.uniform(-4, 4)


def _camouflage(rng: Rng, side: int) -> np.ndarray:
    cloth = flat(jitter(rng, (128, 126, 82), 5), side, side)
    for color, share in (((62, 84, 44), 0.42), ((96, 68, 44), 0.28), ((30, 33, 27), 0.16)):
        patch = fractal_noise(rng, side, side, 8, 2, 0.4)
        cloth[patch > np.quantile(patch, 1 - share)] = jitter(rng, color, 4)
    return cloth


def _brick(rng: Rng, side: int) -> np.ndarray:
    x, y = _grid(side)
    height = rng.uniform(0.068, 0.08)
    row = y / height
    column = x / (2.1 * height) + (row.astype(int) % 2) * 0.5
    tone = rng.random((20, 20), dtype=np.float32)[row.astype(int), column.astype(int)]
    wall = blend(jitter(rng, (158, 58, 40), 6), (206, 106, 76), tone)
    wall[((row % 1) < 0.18) | ((column % 1) < 0.09)] = (218, 210, 198)
    return wall


def _wooden(rng: Rng, side: int) -> np.ndarray:
    x, y = _grid(side)
    plank = rng.uniform(0.1, 0.13)
    index = (y / plank).astype(int)
    bend = fractal_noise(rng, side, side, 5, 3, 0.5, 0.3)
    grain = 0.5 + 0.5 * np.sin(2 * np.pi * (y * 26 + bend * 3.2 + index * 0.37))
    wood = blend(jitter(rng, (188, 126, 66), 6), (116, 68, 30), grain * 0.75)
    wood *= rng.uniform(0.85, 1.1, 16).astype(np.float32)[index][..., None]
    joint = ((y / plank) % 1) < 0.09
    butt = ((x + rng.random(16)[index] * 0.5) % 0.5) < 0.012
    wood[joint | butt] = (66, 38, 18)
    return wood


def _checkered(rng: Rng, side: int) -> np.ndarray:
    x, y = _grid(side)
    cell = rng.uniform(0.085, 0.105)
    odd = ((x / cell).astype(int) + (y / cell).astype(int)) % 2
    return blend((240, 240, 238), (26, 26, 30), odd.astype(np.float32))


def _zebra(rng: Rng, side: int) -> np.ndarray:
    x, y = _grid(side)
    bend = fractal_noise(rng, side, side, 4, 3)
    stripes = np.sin(2 * np.pi * (x * rng.uniform(6.5, 7.5) + bend * 2.2 + 0.4 * y))
    return blend((242, 240, 234), (24, 22, 22), np.clip(stripes * 5 + 0.5, 0, 1))


def _marble(rng: Rng, side: int) -> np.ndarray:
    stone = flat(jitter(rng, (238, 236, 232), 3), side, side)
    stone = blend(stone, (196, 200, 206), 0.6 * fractal_noise(rng, side, side, 4, 3))
    for cells, width in ((3, 12.0), (5, 14.0)):
        vein = 1 - np.abs(fractal_noise(rng, side, side, cells, 3, 0.45) - 0.5) * width
        stone = blend(stone, (78, 84, 96), np.clip(vein, 0, 1) * 0.9)
    return stone


def _polka_dot(rng: Rng, side: int) -> np.ndarray:
    x, y = _grid(side)
    period = rng.uniform(0.1, 0.12)
    row = y / period
    column = x / period + (row.astype(int) % 2) * 0.5
    distance = np.hypot(column % 1 - 0.5, row % 1 - 0.5)
    return blend(flat((248, 244, 238), side, side), (216, 28, 46), np.clip((0.34 - distance) * 20, 0, 1))


def _grass(rng: Rng, side: int) -> np.ndarray:
    lawn = flat(jitter(rng, (40, 96, 24), 5), side, side)
    blades = 900
    x, y = rng.uniform(0, side, (2, blades))
    lean, length = rng.normal(0, 0.012, blades) * side, rng.uniform(0.03, 0.06, blades) * side
    tone = rng.random(blades)
    for k in range(blades):
        color = (50 + 110 * tone[k], 110 + 105 * tone[k], 30 + 55 * tone[k])
        root, tip = (int(x[k]), int(y[k])), (int(x[k] + lean[k]), int(y[k] - length[k]))
        cv2.line(lawn, root, tip, color, max(1, side // 110), cv2.LINE_AA)
    return lawn


PAINTERS: dict[str, Callable[[Rng, int], np.ndarray]] = {
    "riveted metal": _riveted_metal,
    "carbon fiber": _carbon_fiber,
    "camouflage": _camouflage,
    "brick": _brick,
    "wooden": _wooden,
    "checkered": _checkered,
    "zebra": _zebra,
    "marble": _marble,
    "polka dot": _polka_dot,
    "grass": _grass,
}


def paint_material(name: str, rng: Rng, side: int) -> np.ndarray:
    """Paint the material on a canvas (side, side, 3), float32 RGB in 0..255.

    Raises:
        UserError: unknown material.
    """
    return PAINTERS[check_word("material", name, MATERIALS)](rng, side).astype(np.float32)


def render_material(name: str, rng: Rng, size: int = 128) -> np.ndarray:
    """Render a flat close-up of a material, uint8 RGB (size, size, 3); same generator state, same bytes.

    Raises:
        UserError: unknown material.
    """
    return finish(paint_material(name, rng, SUPERSAMPLING * size), size)
