"""Small painting tools shared by places, materials and the renderer.

Pictures are float32 arrays (height, width, 3), RGB in 0..255; masks and noise are float32 (height, width) in 0..1.
"""

from collections.abc import Sequence

import cv2
import numpy as np

# OpenCV's own threads would make the work of many small pictures slower and fight with the caller's processes.
cv2.setNumThreads(1)

Rng = np.random.Generator
Color = Sequence[float] | np.ndarray


def fractal_noise(
    rng: Rng, height: int, width: int, cells: float = 4, octaves: int = 4, gain: float = 0.5, stretch: float = 1.0
) -> np.ndarray:
    """Draw smooth value noise in 0..1 (stretched to the full range), shape (height, width).

    `cells` grid cells span the height at the coarsest octave; `stretch` multiplies the cells across the width,
    so that a value below one draws streaks that lie along the width.
    """
    total = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        rows = cells * 2**octave
        grid = rng.random((max(2, round(rows)), max(2, round(rows * stretch * width / height))), dtype=np.float32)
        total += gain**octave * cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
        if rows > height:
            break
    low, high = total.min(), total.max()
    return (total - low) / (high - low)


def ridge_line(rng: Rng, width: int, cells: int, octaves: int = 3) -> np.ndarray:
    """Draw a random skyline in 0..1, shape (width,)."""
    total = np.zeros((1, width), np.float32)
    for octave in range(octaves):
        grid = rng.random((1, cells * 2**octave + 1), dtype=np.float32)
        total += 0.5**octave * cv2.resize(grid, (width, 1), interpolation=cv2.INTER_CUBIC)
    return (total[0] - total.min()) / (total.max() - total.min())


def blend(base: Color, over: Color, weight: np.ndarray | float) -> np.ndarray:
    """Return `base` where `weight` is 0, `over` where it is 1; colours and pictures broadcast."""
    weight = np.asarray(weight, np.float32)
    if weight.ndim == 2:
        weight = weight[..., None]
    base, over = np.asarray(base, np.float32), np.asarray(over, np.float32)
    # One buffer rather than a temporary per operation: fresh memory is most of the cost of a big picture.
    result = np.empty(np.broadcast_shapes(base.shape, over.shape, weight.shape), np.float32)
    np.subtract(over, base, out=result)
    result *= weight
    result += base
    return result


def jitter(rng: Rng, color: Color, sigma: float = 12.0) -> np.ndarray:
    """Return the colour with a random change of brightness and a smaller one of hue, shape (3,), clipped to 0..255."""
    change = 0.6 * sigma * rng.standard_normal() + 0.4 * sigma * rng.standard_normal(3)
    return np.clip(np.asarray(color, np.float32) + change, 0, 255).astype(np.float32)


def flat(color: Color, height: int, width: int) -> np.ndarray:
    """Return a picture of one colour, shape (height, width, 3)."""
    return np.tile(np.asarray(color, np.float32), (height, width, 1))


def vertical_gradient(top: Color, bottom: Color, height: int, width: int) -> np.ndarray:
    """Return a picture that goes from one colour at the top to another at the bottom, shape (height, width, 3)."""
    ramp = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    return np.repeat(blend(top, bottom, ramp), width, axis=1)


def rectangle(image: np.ndarray, x0: float, y0: float, x1: float, y1: float, color: Color) -> None:
    """Fill a rectangle in place; coordinates in pixels, clipped to the picture."""
    cv2.rectangle(image, (round(x0), round(y0)), (round(x1), round(y1)), np.asarray(color, float).tolist(), -1)


def lay_floor(
    image: np.ndarray,
    tile: np.ndarray,
    horizon: float,
    across: float,
    heading: float = 0.0,
    offset: float = 0.0,
    repeat: bool = True,
    haze: Color | None = None,
) -> None:
    """Paint a floor in perspective below row `horizon`, in place.

    Args:
        tile: square picture of the floor seen from above, (n, n, 3).
        across: how many tiles fit across the picture at its lower edge.
        heading: angle between the tile's columns and the line of sight, radians.
        offset: sideways shift in tiles.
        repeat: repeat the tile (a carpet) or hold its outer columns (the grass beside a runway).
        haze: colour that the floor fades to at the horizon; default the tile's mean, which hides aliasing.
    """
    height, width = image.shape[:2]
    first = int(np.ceil(horizon))
    nearness = ((np.arange(first, height, dtype=np.float32) - horizon + 1.0) / (height - horizon))[:, None]
    sideways = ((np.arange(width, dtype=np.float32) / width - 0.5) * across)[None] / nearness
    forward = np.repeat(0.5 * across / nearness, width, axis=1)
    u = sideways * np.cos(heading) - forward * np.sin(heading) + offset + 0.5
    v = sideways * np.sin(heading) + forward * np.cos(heading)
    n = tile.shape[0]
    u = np.mod(u, 1.0) if repeat else np.clip(u, 0.0, 1.0)
    floor = cv2.remap(
        tile.astype(np.float32),
        (u * (n - 1)).astype(np.float32),
        (np.mod(v, 1.0) * (n - 1)).astype(np.float32),
        cv2.INTER_LINEAR,
    )
    far = tile.mean((0, 1)) if haze is None else haze
    image[first:] = blend(far, floor, np.repeat(np.clip(nearness * 3.5 - 0.1, 0, 1), width, axis=1))


def finish(image: np.ndarray, size: int) -> np.ndarray:
    """Reduce a painted picture to (size, size, 3) uint8 by area averaging."""
    small = cv2.resize(np.clip(image, 0, 255).astype(np.float32), (size, size), interpolation=cv2.INTER_AREA)
    return np.clip(np.rint(small), 0, 255).astype(np.uint8)
