"""A small polygon mesh and the shapes an aircraft is made of.

Axes: x towards the nose, y to the aircraft's left, z up; lengths in arbitrary units (an airliner is about two long).
Every face is a quadrilateral whose corners run so that (b - a) x (d - a) points outwards.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np

Point = Sequence[float] | np.ndarray

#: Windows lie on the hull: half a hull face's extent in depth keeps them in front of the face they lie on.
WINDOW_BIAS = 0.05
#: Faces around a hull.
HULL_SIDES = 18


class AircraftPart(IntEnum):
    """What a face belongs to; decides its colour. 0 is kept for 'no object here'."""

    BODY = 1
    WING = 2
    ACCENT = 3
    ENGINE = 4
    GLASS = 5
    DARK = 6


@dataclass
class Mesh:
    """Quadrilaterals with a part and a painter's bias (distance moved towards the viewer when sorting)."""

    _quads: list[np.ndarray] = field(default_factory=list)
    _parts: list[np.ndarray] = field(default_factory=list)
    _bias: list[np.ndarray] = field(default_factory=list)

    def add_quads(self, quads: np.ndarray, part: AircraftPart | np.ndarray, bias: float = 0.0) -> None:
        """Add faces (n, 4, 3), of one part or of a part each (n,)."""
        self._quads.append(np.asarray(quads, np.float32))
        self._parts.append(np.broadcast_to(np.asarray(part, np.uint8), len(quads)))
        self._bias.append(np.full(len(quads), bias, np.float32))

    def add_grid(self, points: np.ndarray, part: AircraftPart | np.ndarray, bias: float = 0.0) -> None:
        """Add the faces of a grid of points (rows, columns, 3); rows x columns must turn outwards."""
        corners = (points[:-1, :-1], points[1:, :-1], points[1:, 1:], points[:-1, 1:])
        self.add_quads(np.stack(corners, 2).reshape(-1, 4, 3), part, bias)

    @property
    def quads(self) -> np.ndarray:
        """Return all faces, float32 (n, 4, 3)."""
        return np.concatenate(self._quads)

    @property
    def parts(self) -> np.ndarray:
        """Return the part of each face, uint8 (n,)."""
        return np.concatenate(self._parts)

    @property
    def bias(self) -> np.ndarray:
        """Return the painter's bias of each face, float32 (n,)."""
        return np.concatenate(self._bias)


def ring(
    x: Point, radius: Point, z: Point, y: float = 0.0, sides: int = 16, arc: tuple[float, float] = (0, 2 * np.pi)
) -> np.ndarray:
    """Return points of circles around the x axis, (len(x), sides + 1, 3); angle 0 is the left side, pi / 2 the top."""
    angle = np.linspace(*arc, sides + 1)
    x, radius, z = (np.asarray(values, float)[:, None] for values in (x, radius, z))
    return np.stack([x + 0 * angle, y + radius * np.cos(angle), z + radius * np.sin(angle)], -1)


@dataclass(frozen=True)
class Hull:
    """A body of revolution with a bent axis: stations from nose to tail."""

    x: np.ndarray
    radius: np.ndarray
    z: np.ndarray

    def at(self, x: float | Point) -> tuple[Any, Any]:  # numbers for a number, arrays for an array
        """Return radius and height of the axis at positions x."""
        return np.interp(x, self.x[::-1], self.radius[::-1]), np.interp(x, self.x[::-1], self.z[::-1])


def fuselage_hull(length: float, radius: float, nose: float, tail: float, upsweep: float = 0.5) -> Hull:
    """Return a tube with a rounded nose and a tapering, upswept tail.

    `nose` and `tail` are shares of the length; `upsweep` lifts the end of the tail by that share of the radius.
    """
    t = np.unique(np.concatenate([np.linspace(0, 1, 20), (0.008, 0.025, 0.05, 0.085, 0.97)]))
    front = np.sqrt(np.clip(1 - np.clip(1 - t / nose, 0, 1) ** 2, 0, 1))
    aft = np.clip((t - (1 - tail)) / tail, 0, 1)
    profile = front * (1 - 0.9 * aft**1.7)
    drop = -0.18 * np.clip(1 - t / nose, 0, 1) ** 2
    return Hull(length * (0.5 - t), radius * profile, radius * (upsweep * aft**1.6 + drop))


def add_hull(mesh: Mesh, hull: Hull, accent: np.ndarray) -> None:
    """Add a hull; `accent` (stations - 1, HULL_SIDES) marks the faces that wear the livery's second colour."""
    parts = np.where(accent, AircraftPart.ACCENT, AircraftPart.BODY).ravel()
    mesh.add_grid(ring(hull.x, hull.radius, hull.z, sides=HULL_SIDES), parts)


def add_canopy(mesh: Mesh, hull: Hull, front: float, back: float, height: float, width: float = 0.8) -> None:
    """Add a glass bubble on top of the hull from x = front to x = back, `height` hull radii above its axis."""
    t = np.linspace(0, 1, 7)
    x = front + (back - front) * t
    bulge = np.sqrt(np.clip(1 - (2 * t - 1) ** 2, 0, 1))
    radius, z = hull.at(x)
    angle = np.linspace(0, np.pi, 9)[None]
    y = (width * radius * bulge)[:, None] * np.cos(angle)
    top = z[:, None] + (0.4 * radius)[:, None] + ((height - 0.4) * radius * bulge)[:, None] * np.sin(angle)
    mesh.add_grid(np.stack([np.repeat(x[:, None], 9, 1), y, top], -1), AircraftPart.GLASS, 0.03)


def add_windows(
    mesh: Mesh, hull: Hull, first: float, last: float, count: int, size: float, angle: float = 0.25
) -> None:
    """Add rows of cabin windows on both sides between x = first and x = last; `size` is the width of one."""
    centres = np.linspace(first, last, count)
    x = np.stack([centres + size / 2, centres - size / 2, centres - size / 2, centres + size / 2], 1).ravel()
    radius, z = hull.at(x)
    spread = np.tile((-0.13, -0.13, 0.17, 0.17), count)
    left = np.stack([x, 1.02 * radius * np.cos(angle + spread), z + 1.02 * radius * np.sin(angle + spread)], 1)
    left = left.reshape(-1, 4, 3)
    mesh.add_quads(left, AircraftPart.GLASS, WINDOW_BIAS)
    mesh.add_quads(left[:, ::-1] * (1, -1, 1), AircraftPart.GLASS, WINDOW_BIAS)


def add_windscreen(mesh: Mesh, hull: Hull, front: float, back: float) -> None:
    """Add the cockpit glass: a band over the upper nose."""
    x = np.linspace(front, back, 4)
    radius, z = hull.at(x)
    mesh.add_grid(ring(x, 1.03 * radius, z, sides=8, arc=(0.14 * np.pi, 0.86 * np.pi)), AircraftPart.GLASS, 0.02)


def add_surface(
    mesh: Mesh,
    root: Point,
    tip: Point,
    root_chord: float,
    tip_chord: float,
    thickness: float,
    part: AircraftPart = AircraftPart.WING,
    tip_part: AircraftPart | None = None,
    stations: int = 7,
) -> None:
    """Add a wing, fin or tailplane between two leading-edge points; chords run backwards along x.

    `thickness` is half the section's greatest height at the root; `tip_part` paints the outer fifth.
    """
    root, tip = np.asarray(root, float), np.asarray(tip, float)
    back = np.array((-1.0, 0.0, 0.0))
    normal = np.cross(tip - root, back)
    normal /= np.linalg.norm(normal)
    t = np.linspace(0, 1, stations)[:, None, None]
    chord = root_chord + (tip_chord - root_chord) * t
    section = np.array(((0, 0), (0.12, 0.7), (0.35, 1), (1, 0), (0.35, -1), (0.12, -0.7), (0, 0)))
    along, height = section[None, :, :1], section[None, :, 1:]
    points = root + (tip - root) * t + back * chord * along + normal * thickness * (1 - 0.65 * t) * height
    parts = np.full((stations - 1, len(section) - 1), part)
    if tip_part is not None:
        parts[-1:] = tip_part
    mesh.add_grid(points, parts.ravel())


def add_rod(
    mesh: Mesh, start: Point, end: Point, width: float, part: AircraftPart = AircraftPart.DARK, bias: float = 0.0
) -> None:
    """Add a strut of square section between two points."""
    start, end = np.asarray(start, float), np.asarray(end, float)
    axis = (end - start) / np.linalg.norm(end - start)
    side = np.cross(axis, (0.0, 0.0, 1.0) if abs(axis[2]) < 0.9 else (1.0, 0.0, 0.0))
    side /= np.linalg.norm(side)
    up = np.cross(side, axis)
    loop = np.stack([side, up, -side, -up, side]) * width / 2
    # A few faces along a strut keep the painter's order right where it crosses a wing.
    t = np.linspace(0, 1, 5)[:, None, None]
    mesh.add_grid(start + (end - start) * t + loop, part, bias)


def add_wheel(mesh: Mesh, centre: Point, radius: float, width: float) -> None:
    """Add a dark wheel whose axle lies along y."""
    angle = np.linspace(0, 2 * np.pi, 11)
    y = np.array((width / 2, width / 2, -width / 2, -width / 2))[:, None]
    r = np.array((0, radius, radius, 0))[:, None]
    points = np.stack([r * np.cos(angle), y + 0 * angle, r * np.sin(angle)], -1) + np.asarray(centre)
    mesh.add_grid(points[:, ::-1], AircraftPart.DARK)


def add_jet_engine(mesh: Mesh, centre: Point, length: float, radius: float, bias: float = 0.0) -> None:
    """Add a nacelle with a dark inlet and exhaust; `centre` is the middle of the inlet."""
    x, y, z = centre
    t = np.array((0, 0.08, 0.3, 0.6, 0.85, 1))
    shape = radius * np.array((0.88, 1, 1.04, 0.98, 0.78, 0.6))
    mesh.add_grid(ring(x - t * length, shape, np.full(6, z), y, 14), AircraftPart.ENGINE, bias)
    disc = (0.0, 0.8 * radius)
    mesh.add_grid(ring((x + 0.002,) * 2, disc, (z, z), y, 12), AircraftPart.DARK, bias + 0.02)
    mesh.add_grid(ring((x - length - 0.002,) * 2, (0.5 * radius, 0.0), (z, z), y, 12), AircraftPart.DARK, bias + 0.02)


def add_spinner_nacelle(mesh: Mesh, centre: Point, length: float, radius: float) -> None:
    """Add the long nacelle of a turboprop with its spinner; `centre` is the tip of the spinner."""
    x, y, z = centre
    t = np.array((0, 0.06, 0.14, 0.5, 0.85, 1))
    shape = radius * np.array((0.05, 0.5, 0.92, 1, 0.65, 0.2))
    mesh.add_grid(ring(x - t * length, shape, np.full(6, z), y, 12), AircraftPart.ENGINE)
