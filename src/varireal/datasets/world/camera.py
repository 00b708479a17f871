"""How an aircraft is looked at: attitude, light, and the projection onto the picture.

Viewer's axes: x to the right, y away from the viewer, z up. Screen axes: x to the right, y down, in pixels.
"""

from dataclasses import dataclass

import numpy as np

from varireal.datasets.world.canvas import Rng

#: How fast things shrink with distance, per unit of length; gentle, as through a telephoto lens.
PERSPECTIVE = 0.12


@dataclass(frozen=True)
class View:
    """Rotation from aircraft to viewer's axes (3, 3), the unit vector towards the light, and whether it stands."""

    rotation: np.ndarray
    light: np.ndarray
    grounded: bool


def random_view(rng: Rng, grounded: bool) -> View:
    """Draw a three-quarter view from any quadrant that shows wings, engines and tail (never head-on or level)."""
    yaw = np.deg2rad(rng.uniform(22, 55)) * rng.choice((-1, 1))
    if rng.random() < 0.5:
        yaw = np.pi - yaw
    if grounded:
        pitch, roll = rng.uniform(10, 26), rng.normal(0, 1)
    else:
        pitch = rng.uniform(12, 38) if rng.random() < 0.7 else rng.uniform(-30, -12)
        roll = np.clip(rng.normal(0, 8), -16, 16)
    pitch, roll = np.deg2rad(pitch), np.deg2rad(roll)
    cos, sin = np.cos, np.sin
    turn = np.array(((cos(yaw), -sin(yaw), 0), (sin(yaw), cos(yaw), 0), (0, 0, 1)))
    tip = np.array(((1, 0, 0), (0, cos(pitch), -sin(pitch)), (0, sin(pitch), cos(pitch))))
    bank = np.array(((cos(roll), 0, -sin(roll)), (0, 1, 0), (sin(roll), 0, cos(roll))))
    light = np.array((rng.uniform(-0.6, 0.6), -0.6, rng.uniform(0.7, 1.0)))
    return View((bank @ tip @ turn).astype(np.float32), (light / np.linalg.norm(light)).astype(np.float32), grounded)


@dataclass(frozen=True)
class Camera:
    """A view with a scale (pixels per unit) and a shift; maps aircraft coordinates to the screen."""

    view: View
    scale: float
    shift: np.ndarray

    @classmethod
    def framing(cls, rng: Rng, view: View, points: np.ndarray, side: int) -> "Camera":
        """Return the camera that makes `points` (..., 3) fill 72 to 90 per cent of a square picture's width."""
        flat = _perspective(points.reshape(-1, 3) @ view.rotation.T)
        low, high = flat.min(0), flat.max(0)
        width, height = high - low
        scale = min(side * rng.uniform(0.72, 0.9) / width, side * 0.72 / height)
        middle = np.array((0.5 + rng.uniform(-0.03, 0.03), (0.56 if view.grounded else 0.5) + rng.uniform(-0.04, 0.04)))
        return cls(view, float(scale), middle * side - scale * (low + high) / 2)

    def seen(self, points: np.ndarray) -> np.ndarray:
        """Return aircraft coordinates (..., 3) in the viewer's axes."""
        return np.asarray(points, np.float32) @ self.view.rotation.T

    def on_screen(self, seen: np.ndarray) -> np.ndarray:
        """Return points in the viewer's axes (..., 3) as pixels (..., 2)."""
        return _perspective(seen) * self.scale + self.shift

    def project(self, points: np.ndarray) -> np.ndarray:
        """Return aircraft coordinates (..., 3) as pixels (..., 2)."""
        return self.on_screen(self.seen(points))


def _perspective(seen: np.ndarray) -> np.ndarray:
    return seen[..., [0, 2]] * np.array((1, -1), np.float32) / (1 + PERSPECTIVE * seen[..., 1:2])
