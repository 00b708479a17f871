"""Painters of the places where aircraft belong: (rng, side) -> (side, side, 3) float32, nothing in them."""

import cv2
import numpy as np

from varireal.datasets.world.canvas import (
    Color,
    Rng,
    blend,
    fractal_noise,
    jitter,
    lay_floor,
    rectangle,
    ridge_line,
    vertical_gradient,
)

TILE = 192


def sky(rng: Rng, side: int, top: Color = (70, 130, 215), bottom: Color = (190, 216, 240)) -> np.ndarray:
    """Paint a cloudless sky with jittered colours."""
    return vertical_gradient(jitter(rng, top), jitter(rng, bottom), side, side)


def horizon_of(rng: Rng, side: int, low: float = 0.42, high: float = 0.58) -> float:
    """Draw a random row of the horizon, in pixels."""
    return side * rng.uniform(low, high)


def below(line: np.ndarray, side: int) -> np.ndarray:
    """Return 1 below the given row of each column, else 0; shape (side, side)."""
    return (np.arange(side)[:, None] > line[None]).astype(np.float32)


def ground_tile(rng: Rng, dark: Color, bright: Color, cells: int = 14, octaves: int = 4) -> np.ndarray:
    """Paint a mottled square of ground seen from above."""
    return blend(jitter(rng, dark), jitter(rng, bright), fractal_noise(rng, TILE, TILE, cells, octaves, 0.65))


def _runway(rng: Rng, side: int) -> np.ndarray:
    image = sky(rng, side)
    horizon = horizon_of(rng, side)
    tile = ground_tile(rng, (66, 112, 48), (112, 152, 70))
    left, right, middle = int(TILE * 0.2), int(TILE * 0.8), TILE // 2
    tile[:, left:right] = ground_tile(rng, (78, 80, 85), (102, 105, 110), 20, 3)[:, left:right]
    paint = (238, 238, 234)
    for edge in (left + 5, right - 5):
        rectangle(tile, edge - 2, 0, edge + 2, TILE, paint)
    for dash in range(0, TILE, 64):
        rectangle(tile, middle - 4, dash, middle + 4, dash + 34, paint)
    trees = ridge_line(rng, side, 14) * side * 0.045
    image = blend(image, jitter(rng, (62, 92, 66)), below(horizon - trees - 1, side))
    lay_floor(image, tile, horizon, rng.uniform(0.75, 1.0), rng.uniform(-0.12, 0.12), rng.uniform(-0.1, 0.1), False)
    return image


def _blue_sky(rng: Rng, side: int) -> np.ndarray:
    image = sky(rng, side, (48, 112, 212), (158, 204, 246))
    wisps = np.clip((fractal_noise(rng, side, side, 3, 4, 0.5, 0.4) - 0.68) * 2.5, 0, 0.6)
    return blend(image, (250, 251, 253), wisps)


def _clouds(rng: Rng, side: int) -> np.ndarray:
    image = sky(rng, side, (48, 106, 198), (150, 198, 246))
    rows = np.arange(side, dtype=np.float32)[:, None]
    for top, radius in ((0.5, 0.05), (0.6, 0.07), (0.73, 0.1), (0.9, 0.13)):
        bank = below(np.full(side, side * (top + 0.3 * radius)), side)
        for x in np.arange(-0.1, 1.1, radius * 0.8):
            centre = (int((x + rng.normal(0, 0.2 * radius)) * side), int((top + rng.normal(0, 0.5 * radius)) * side))
            cv2.circle(bank, centre, int(radius * rng.uniform(0.6, 1.3) * side), 1.0, -1, cv2.LINE_AA)
        # Light tops and blue-grey undersides: the blurred bank says how deep inside it a pixel lies.
        depth = cv2.GaussianBlur(bank, (0, 0), radius * 0.45 * side)
        fade = np.clip((rows / side - top) * 1.2, 0, 0.2)
        shade = np.clip((depth - 0.5) * 0.7 + fade + 0.25 * fractal_noise(rng, side, side, 8, 3), 0, 1)
        image = blend(image, blend((254, 254, 255), (158, 178, 208), shade), bank)
    return image


def _sunset(rng: Rng, side: int) -> np.ndarray:
    image = vertical_gradient(jitter(rng, (66, 48, 118)), jitter(rng, (255, 158, 64)), side, side)
    bands = np.clip((fractal_noise(rng, side, side, 7, 4, 0.55, 0.3) - 0.5) * 3, 0, 0.8)
    image = blend(image, jitter(rng, (232, 84, 88)), bands)
    sun = np.zeros((side, side), np.float32)
    centre = (int(rng.uniform(0.1, 0.9) * side), int(rng.uniform(0.68, 0.86) * side))
    cv2.circle(sun, centre, int(side * 0.075), 1.0, -1, cv2.LINE_AA)
    halo = cv2.GaussianBlur(sun, (0, 0), side * 0.09) * 2.2
    image = blend(image, (255, 238, 172), np.clip(np.maximum(sun, halo), 0, 1))
    return blend(image, (48, 30, 48), below(side * (0.95 - 0.05 * ridge_line(rng, side, 5)), side))


def _grass_field(rng: Rng, side: int) -> np.ndarray:
    image = sky(rng, side)
    horizon = horizon_of(rng, side)
    trees = blend((30, 70, 34), (62, 110, 52), fractal_noise(rng, side, side, 24, 3))
    image = blend(image, trees, below(horizon - side * (0.03 + 0.07 * ridge_line(rng, side, 12)), side))
    tile = ground_tile(rng, (54, 116, 34), (136, 182, 70), 18, 3)
    for _ in range(40):
        x, y = rng.integers(0, TILE, 2)
        cv2.circle(tile, (int(x), int(y)), 2, (238, 226, 120), -1)
    lay_floor(image, tile, horizon, rng.uniform(0.8, 1.1), rng.uniform(-0.4, 0.4))
    return image


def _mountains(rng: Rng, side: int) -> np.ndarray:
    image = sky(rng, side, (84, 146, 224), (206, 226, 246))
    horizon = horizon_of(rng, side, 0.62, 0.72)
    rows = np.arange(side)[:, None]
    ranges = (((146, 164, 194), (244, 247, 252), 0.08, 0.42), ((80, 94, 120), (236, 241, 248), 0.0, 0.36))
    for rock, snow, lift, height in ranges:
        line = horizon - side * (lift + height * ridge_line(rng, side, 6, 4))
        relief = fractal_noise(rng, side, side, 12, 4, 0.6)
        under = (rows - line[None]) / (height * side)
        face = blend(rock, snow, np.clip((0.62 - under + 0.8 * (relief - 0.5)) * 4, 0, 1))
        face *= (0.8 + 0.35 * (relief > np.roll(relief, side // 40, axis=1)))[..., None].astype(np.float32)
        image = blend(image, face, below(line, side))
    lay_floor(image, ground_tile(rng, (84, 108, 72), (128, 146, 98)), horizon, 1.6, rng.uniform(-0.3, 0.3))
    return image


def _desert(rng: Rng, side: int) -> np.ndarray:
    image = sky(rng, side, (84, 148, 220), (242, 226, 192))
    horizon = horizon_of(rng, side)
    for step in range(3):
        line = horizon + side * (0.12 * step - 0.16 * ridge_line(rng, side, 2, 2))
        slope = np.clip((np.arange(side)[:, None] - line[None]) / (0.25 * side), 0, 1).astype(np.float32)
        wave = slope * rng.uniform(4, 6) + fractal_noise(rng, side, side, 4, 2, 0.5, 0.5) * 3
        ripples = 0.5 + 0.5 * np.sin(2 * np.pi * wave)
        sand = blend(jitter(rng, (238, 198, 130), 6), jitter(rng, (196, 140, 78), 6), 0.7 * slope + 0.3 * ripples)
        image = blend(image, sand, below(line, side))
    return image


def _tower(rng: Rng, image: np.ndarray, x: float, width: float, top: float, foot: float, wall: np.ndarray) -> None:
    """Paint one building with rows of windows."""
    side = image.shape[0]
    rectangle(image, x, top, x + width, foot, wall)
    rectangle(image, x + width * 0.8, top, x + width, foot, wall * 0.8)
    glass = jitter(rng, (236, 224, 164) if rng.random() < 0.4 else (58, 74, 100), 8)
    pitch = side * 0.028
    for y in np.arange(top + pitch * 0.6, foot - pitch, pitch):
        for column in np.arange(x + pitch * 0.4, x + width * 0.8 - pitch * 0.5, pitch * 0.9):
            rectangle(image, column, y, column + pitch * 0.35, y + pitch * 0.5, glass)


#: Wall colours of the far and of the near row of buildings.
CITY_WALLS = (
    ((168, 178, 192), (150, 162, 182)),
    ((112, 100, 96), (88, 98, 116), (140, 132, 122)),
)


def _city(rng: Rng, side: int) -> np.ndarray:
    image = sky(rng, side, (112, 156, 212), (220, 222, 230))
    horizon = horizon_of(rng, side, 0.6, 0.7)
    for layer, walls in enumerate(
        (((168, 178, 192), (150, 162, 182)), ((112, 100, 96), (88, 98, 116), (140, 132, 122)))
    ):
        x = -side * rng.uniform(0, 0.08)
        while x < side:
            width = side * rng.uniform(0.07, 0.13)
            top = horizon - side * rng.uniform(0.16, 0.5) * (1 - 0.28 * layer)
            _tower(rng, image, x, width, top, horizon, jitter(rng, walls[rng.integers(len(walls))], 8))
            x += width + side * rng.uniform(-0.01, 0.03)
    tile = ground_tile(rng, (104, 106, 110), (128, 130, 133), 16, 3)
    rectangle(tile, 0, TILE * 0.46, TILE, TILE * 0.52, (226, 224, 214))
    lay_floor(image, tile, horizon, 1.1, rng.uniform(-0.2, 0.2), haze=(122, 124, 128))
    return image


NATURAL_PAINTERS = {
    "runway": _runway,
    "blue sky": _blue_sky,
    "clouds": _clouds,
    "sunset": _sunset,
    "grass field": _grass_field,
    "mountains": _mountains,
    "desert": _desert,
    "city": _city,
}
