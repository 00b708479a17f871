"""Painters of the places where no aircraft stands: (rng, side) -> (side, side, 3) float32, nothing in them."""

import cv2
import numpy as np

from varireal.datasets.world.canvas import (
    Rng,
    blend,
    flat,
    fractal_noise,
    jitter,
    lay_floor,
    rectangle,
    ridge_line,
    vertical_gradient,
)
from varireal.datasets.world.places_natural import TILE, below, horizon_of


def _under_water(rng: Rng, side: int) -> np.ndarray:
    image = vertical_gradient(jitter(rng, (44, 164, 194)), jitter(rng, (6, 48, 98)), side, side)
    x, y = np.meshgrid(np.linspace(0, 1, side, dtype=np.float32), np.linspace(0, 1, side, dtype=np.float32))
    bend = fractal_noise(rng, side, side, 3, 2)
    rays = np.clip(np.sin(2 * np.pi * (x + rng.uniform(-0.4, 0.4) * y) * rng.uniform(4, 6) + 4 * bend), 0, 1)
    image = blend(image, (176, 236, 240), rays * np.clip(0.5 - 0.6 * y, 0, 1))
    sand = blend((96, 128, 116), (150, 168, 132), fractal_noise(rng, side, side, 16, 3))
    image = blend(image, sand, 0.75 * below(side * (0.92 - 0.14 * ridge_line(rng, side, 3)), side))
    for _ in range(int(rng.integers(4, 9))):
        _weed(rng, image)
    for _ in range(int(rng.integers(12, 22))):
        centre = (int(rng.uniform(0, side)), int(rng.uniform(0, side)))
        cv2.circle(
            image, centre, int(side * rng.uniform(0.009, 0.026)), (196, 242, 246), max(1, side // 128), cv2.LINE_AA
        )
    return image


def _weed(rng: Rng, image: np.ndarray) -> None:
    """Paint a swaying blade of seaweed that grows from the ground."""
    side = image.shape[0]
    t = np.linspace(0, 1, 12)
    root, height = rng.uniform(0, 1), rng.uniform(0.1, 0.26)
    x = root + 0.02 * np.sin(t * 7 + rng.uniform(0, 6)) * (0.3 + t)
    points = np.stack([x, 0.99 - height * t], 1) * side
    color = jitter(rng, (28, 104, 70), 10).tolist()
    cv2.polylines(image, [points.astype(np.int32)], False, color, max(2, side // 60), cv2.LINE_AA)


def _outer_space(rng: Rng, side: int) -> np.ndarray:
    nebula = np.clip((fractal_noise(rng, side, side, 3, 5) - 0.5) * 1.8, 0, 0.8)
    image = blend(flat((6, 6, 16), side, side), jitter(rng, (82, 28, 112)), nebula)
    for _ in range(110):
        centre = (int(rng.uniform(0, side)), int(rng.uniform(0, side)))
        glow = rng.uniform(150, 255)
        cv2.circle(image, centre, max(1, int(side * rng.choice([0.003, 0.004, 0.007]))), (glow, glow, glow * 0.96), -1)
    radius = side * rng.uniform(0.15, 0.28)
    cx, cy = side * rng.choice([0.14, 0.84]), side * rng.choice([0.14, 0.86])
    x, y = np.meshgrid((np.arange(side) - cx) / radius, (np.arange(side) - cy) / radius)
    light = np.clip(0.55 - 0.45 * (x + y), 0.06, 1)
    bands = fractal_noise(rng, side, side, 9, 3, 0.5, 0.15)
    planet = blend(jitter(rng, (222, 166, 104)), jitter(rng, (132, 84, 62)), bands) * light[..., None]
    return blend(image, planet, np.clip((1 - np.hypot(x, y)) * radius, 0, 1))


def _lava(rng: Rng, side: int) -> np.ndarray:
    image = vertical_gradient(jitter(rng, (46, 16, 18)), jitter(rng, (158, 52, 22)), side, side)
    horizon = horizon_of(rng, side, 0.36, 0.5)
    crags = below(horizon - side * 0.16 * ridge_line(rng, side, 6, 4), side)
    image = blend(image, (36, 20, 20), crags)
    cracks = 1 - np.abs(fractal_noise(rng, TILE, TILE, 7, 3) - 0.5) * 11
    tile = blend((30, 22, 22), (64, 48, 44), fractal_noise(rng, TILE, TILE, 26, 2))
    tile = blend(tile, (255, 106, 14), np.clip(cracks, 0, 1))
    tile = blend(tile, (255, 228, 100), np.clip(cracks * 2 - 1.2, 0, 1))
    lay_floor(image, tile, horizon, rng.uniform(0.6, 0.8), rng.uniform(-0.5, 0.5))
    return image


_BOOK_COLORS = ((152, 40, 36), (34, 60, 112), (44, 102, 62), (194, 154, 82), (110, 60, 112), (204, 192, 166))


def _shelf(rng: Rng, image: np.ndarray, top: float, height: float) -> None:
    """Paint a row of books on a board, across the whole picture."""
    side = image.shape[0]
    board = top + 0.88 * height
    x = 0.0
    while x < side:
        width = side * rng.uniform(0.025, 0.05)
        color = jitter(rng, _BOOK_COLORS[rng.integers(len(_BOOK_COLORS))], 12)
        head = board - height * rng.uniform(0.58, 0.8)
        rectangle(image, x, head, x + width - 2, board, color)
        rectangle(image, x, head + height * 0.12, x + width - 2, head + height * 0.18, color * 0.5 + 110)
        x += width
    rectangle(image, 0, board, side, top + height, jitter(rng, (116, 76, 42), 5))


def _library(rng: Rng, side: int) -> np.ndarray:
    image = flat(jitter(rng, (62, 40, 24), 6), side, side)
    horizon = horizon_of(rng, side, 0.66, 0.76)
    height = side * rng.uniform(0.17, 0.21)
    top = horizon - side * 0.02 - height * np.ceil(horizon / height)
    while top + height <= horizon:
        _shelf(rng, image, top, height)
        top += height
    post = side * rng.uniform(0.1, 0.9)
    rectangle(image, post - side * 0.018, 0, post + side * 0.018, horizon, jitter(rng, (98, 62, 34), 5))
    rectangle(image, 0, horizon - side * 0.03, side, horizon, (58, 36, 20))
    tile = flat((96, 62, 34), TILE, TILE)
    for x in range(0, TILE, 24):
        rectangle(tile, x + 1, 0, x + 22, TILE, jitter(rng, (146, 98, 56), 9))
    lay_floor(image, tile, horizon, 0.7, rng.uniform(-0.3, 0.3))
    return image


def _carpet_tile(rng: Rng) -> np.ndarray:
    ground = (150, 34, 44) if rng.random() < 0.6 else (38, 58, 122)
    tile = flat(jitter(rng, ground), TILE, TILE)
    gold = jitter(rng, (228, 194, 112)).tolist()
    half = TILE // 4
    for centre in ((half, half), (3 * half, 3 * half), (half, 3 * half), (3 * half, half)):
        cv2.circle(tile, centre, int(half * 0.62), gold, 7, cv2.LINE_AA)
        cv2.circle(tile, centre, int(half * 0.24), gold, -1, cv2.LINE_AA)
    return tile * (0.86 + 0.28 * fractal_noise(rng, TILE, TILE, 48, 2))[..., None]


def _carpet(rng: Rng, side: int) -> np.ndarray:
    image = flat(jitter(rng, (226, 216, 196), 8), side, side)
    horizon = horizon_of(rng, side, 0.48, 0.58)
    cloth = jitter(rng, (92, 122, 134), 14)
    x, width = side * rng.uniform(-0.1, 0.5), side * 0.58
    rectangle(image, x, horizon - side * 0.27, x + width, horizon, cloth)
    for seat in (0.02, 0.51):
        rectangle(image, x + width * seat, horizon - side * 0.13, x + width * (seat + 0.47), horizon, cloth * 1.14)
    for arm in (x - side * 0.05, x + width - side * 0.02):
        rectangle(image, arm, horizon - side * 0.18, arm + side * 0.07, horizon + side * 0.01, cloth * 0.84)
    frame = (x + width + side * 0.08) % (side * 0.8)
    rectangle(image, frame, horizon - side * 0.42, frame + side * 0.17, horizon - side * 0.29, (112, 78, 46))
    rectangle(
        image,
        frame + 5,
        horizon - side * 0.42 + 5,
        frame + side * 0.17 - 5,
        horizon - side * 0.29 - 5,
        jitter(rng, (150, 192, 172)),
    )
    lay_floor(image, _carpet_tile(rng), horizon, rng.uniform(0.8, 1.0), rng.uniform(-0.4, 0.4))
    return image


def _kitchen(rng: Rng, side: int) -> np.ndarray:
    image = flat(jitter(rng, (212, 208, 198), 5), side, side)
    horizon = horizon_of(rng, side, 0.48, 0.58)
    counter = horizon - side * 0.28
    step, front = side * 0.2, jitter(rng, (172, 120, 78) if rng.random() < 0.6 else (126, 152, 158), 8)
    for x in np.arange(-side * rng.uniform(0, 0.2), side, step):
        for top, foot in ((counter, horizon - 3), (-side * 0.1, counter - side * 0.16)):
            rectangle(image, x + 2, top, x + step - 3, foot, front)
            rectangle(image, x + step * 0.12, top + 6, x + step * 0.84, foot - 6, front * 0.9)
        cv2.circle(image, (int(x + step * 0.76), int(horizon - side * 0.15)), max(2, side // 90), (60, 60, 64), -1)
    rectangle(image, 0, counter - side * 0.035, side, counter, (84, 82, 82))
    tile = flat((142, 138, 132), TILE, TILE)
    cell, pale = TILE // 3, jitter(rng, (240, 238, 230), 4)
    for y in range(0, TILE, cell):
        for x in range(0, TILE, cell):
            rectangle(tile, x + 3, y + 3, x + cell - 3, y + cell - 3, np.clip(pale + rng.normal(0, 5), 0, 255))
    lay_floor(image, tile, horizon, rng.uniform(0.8, 1.0), rng.uniform(-0.4, 0.4))
    return image


def _stem(rng: Rng, image: np.ndarray, nearness: float) -> None:
    """Paint one bamboo stem with its nodes; nearer stems are thicker and brighter."""
    side = image.shape[0]
    x, lean = rng.uniform(0, side), rng.uniform(-0.035, 0.035) * side
    thickness = max(2, int(side * (0.014 + 0.03 * nearness)))
    color = jitter(rng, (92, 158, 58), 14) * (0.55 + 0.5 * nearness)
    end = (int(x + lean), side)
    cv2.line(image, (int(x), 0), end, color.tolist(), thickness, cv2.LINE_AA)
    shine = thickness // 4
    pale = np.clip(color * 1.35, 0, 255).tolist()
    cv2.line(image, (int(x) - shine, 0), (end[0] - shine, side), pale, max(1, thickness // 4), cv2.LINE_AA)
    for y in np.arange(rng.uniform(0, 0.2), 1, 0.19):
        middle = x + lean * y
        rectangle(image, middle - thickness / 2, y * side, middle + thickness / 2, y * side + 2, color * 0.5)


def _bamboo(rng: Rng, side: int) -> np.ndarray:
    image = vertical_gradient(jitter(rng, (196, 224, 146)), jitter(rng, (56, 104, 46)), side, side)
    image = blend(image, (40, 82, 36), 0.6 * fractal_noise(rng, side, side, 6, 4))
    for index in range(22):
        _stem(rng, image, index / 21)
    return image


def _chessboard(rng: Rng, side: int) -> np.ndarray:
    image = vertical_gradient(jitter(rng, (58, 58, 70)), jitter(rng, (134, 128, 122)), side, side)
    horizon = horizon_of(rng, side, 0.4, 0.5)
    tile = flat((236, 228, 210), TILE, TILE)
    dark, half = jitter(rng, (40, 30, 26), 5), TILE // 2
    tile[:half, :half] = dark
    tile[half:, half:] = dark
    lay_floor(image, tile, horizon, rng.uniform(1.4, 1.8), rng.uniform(-0.5, 0.5))
    return image


UNNATURAL_PAINTERS = {
    "under water": _under_water,
    "outer space": _outer_space,
    "lava": _lava,
    "library": _library,
    "carpet": _carpet,
    "kitchen": _kitchen,
    "bamboo": _bamboo,
    "chessboard": _chessboard,
}
