"""What jets and light aircraft have in common: wings, liveries, landing gear."""

from dataclasses import dataclass, field

import numpy as np

from varireal.datasets.world.canvas import Rng
from varireal.datasets.world.mesh import HULL_SIDES, AircraftPart, Hull, Mesh, add_rod, add_surface, add_wheel


@dataclass(frozen=True)
class Propeller:
    """A turning propeller in the plane across x: hub (x, y, z), radius, angle of the first blade, blades."""

    hub: tuple[float, float, float]
    radius: float
    angle: float
    blades: int


@dataclass
class Aircraft:
    """A built aircraft: the surfaces, the propellers, and the landing gear as a mesh of its own."""

    mesh: Mesh = field(default_factory=Mesh)
    propellers: list[Propeller] = field(default_factory=list)
    gear: Mesh = field(default_factory=Mesh)


@dataclass(frozen=True)
class Wing:
    """A pair of wings: root leading edge (x, z), half span, chords, sweep and rise of the tip, half thickness."""

    x: float
    z: float
    span: float
    root_chord: float
    tip_chord: float
    sweep: float
    rise: float
    thickness: float

    def leading_edge(self, share: float) -> np.ndarray:
        """Return the leading-edge point of the left wing at a share of the half span."""
        return np.array((self.x - self.sweep * share, self.span * share, self.z + self.rise * share))


def varied(rng: Rng, value: float, spread: float = 0.06) -> float:
    """Return the value times a random factor in 1 - spread .. 1 + spread."""
    return value * rng.uniform(1 - spread, 1 + spread)


def livery_pattern(rng: Rng, hull: Hull) -> np.ndarray:
    """Choose which faces of the hull wear the accent colour: a stripe, the belly, the tail or the tail and a stripe."""
    x = (hull.x[:-1] + hull.x[1:])[:, None] / 2 / (hull.x[0] - hull.x[-1])
    edges = np.linspace(0, 2 * np.pi, HULL_SIDES + 1)
    height = np.sin((edges[:-1] + edges[1:]) / 2)[None]
    x, height = np.broadcast_arrays(x, height)
    stripe = (height < 0.15) & (height > -0.45) & (x < 0.47)
    belly = height < -0.2
    tail = x < -0.26 - 0.05 * height
    return (stripe, belly, tail, tail | stripe)[rng.integers(4)]


def add_wings(mesh: Mesh, wing: Wing, tip_part: AircraftPart | None = None) -> None:
    """Add both wings of a pair; `tip_part` paints their outer ends."""
    for side in (1, -1):
        root = wing.leading_edge(0) * (1, side, 1)
        tip = wing.leading_edge(1) * (1, side, 1)
        add_surface(mesh, root, tip, wing.root_chord, wing.tip_chord, wing.thickness, AircraftPart.WING, tip_part)


def add_legs(aircraft: Aircraft, points: list[tuple[float, float, float]], drop: float, wheel: float) -> None:
    """Add landing gear: a leg from each point straight down to a wheel."""
    for x, y, z in points:
        add_rod(aircraft.gear, (x, y, z + 0.02), (x, y, z - drop), 0.022)
        add_wheel(aircraft.gear, (x, y, z - drop), wheel, 0.03)
