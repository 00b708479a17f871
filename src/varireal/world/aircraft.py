"""The geometry of the ten aircraft classes, with random proportions around each class's own."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from varireal.world.canvas import Rng
from varireal.world.mesh import (
    Hull,
    Mesh,
    Part,
    add_canopy,
    add_hull,
    add_jet_engine,
    add_rod,
    add_spinner_nacelle,
    add_surface,
    add_wheel,
    add_windows,
    add_windscreen,
    fuselage_hull,
)
from varireal.world.vocabulary import CLASSES, check_word

HULL_SIDES = 18


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
        """Leading-edge point of the left wing at a share of the half span."""
        return np.array((self.x - self.sweep * share, self.span * share, self.z + self.rise * share))


@dataclass(frozen=True)
class JetSpec:
    """Proportions of an airliner-like class; lengths in world units, heights of wings in hull radii."""

    length: float
    radius: float
    wing: Wing
    fin_height: float
    windows: int
    window_size: float
    nose: float = 0.13
    tail: float = 0.34
    t_tail: bool = False
    winglets: bool = False
    upper_deck: bool = False
    wing_engines: tuple[float, ...] = ()
    engine_radius: float = 0.0
    engine_length: float = 0.0
    aft_engine: tuple[float, float] | None = None
    tail_engine: bool = False
    turboprop: bool = False


def _varied(rng: Rng, value: float, spread: float = 0.06) -> float:
    return value * rng.uniform(1 - spread, 1 + spread)


def _livery(rng: Rng, hull: Hull) -> np.ndarray:
    """Which faces of the hull wear the accent colour: a stripe, the belly, the tail or the tail and a stripe."""
    x = (hull.x[:-1] + hull.x[1:])[:, None] / 2 / (hull.x[0] - hull.x[-1])
    edges = np.linspace(0, 2 * np.pi, HULL_SIDES + 1)
    height = np.sin((edges[:-1] + edges[1:]) / 2)[None]
    stripe = (height < 0.15) & (height > -0.45) & (x < 0.47)
    belly = (height < -0.2) & (x < 2)
    tail = (x < -0.26 - 0.05 * height) & (height < 2)
    return (stripe, belly, tail, tail | stripe)[rng.integers(4)]


def _pair(mesh: Mesh, wing: Wing, tip_part: Part | None = None, part: Part = Part.WING) -> None:
    """Add both wings of a pair."""
    for side in (1, -1):
        root = wing.leading_edge(0) * (1, side, 1)
        tip = wing.leading_edge(1) * (1, side, 1)
        add_surface(mesh, root, tip, wing.root_chord, wing.tip_chord, wing.thickness, part, tip_part)


def _tail(mesh: Mesh, x: float, z: float, height: float, chord: float, sweep: float, span: float, high: bool) -> None:
    """Fin in the accent colour and tailplane, at the top of the fin (`high`) or at its root."""
    add_surface(mesh, (x, 0, z), (x - sweep * height, 0, z + height), chord, 0.55 * chord, 0.014, Part.ACCENT)
    plane = (x - 0.9 * sweep * height, z + 0.97 * height) if high else (x - 0.15 * chord, z + 0.02)
    root_chord = (0.55 if high else 0.8) * chord
    _pair(mesh, Wing(plane[0], plane[1], span, root_chord, 0.5 * root_chord, 0.55 * sweep * span, 0.02, 0.01))


def _legs(aircraft: Aircraft, points: list[tuple[float, float, float]], drop: float, wheel: float) -> None:
    """Landing gear: a leg from each point straight down to a wheel."""
    for x, y, z in points:
        add_rod(aircraft.gear, (x, y, z + 0.02), (x, y, z - drop), 0.022)
        add_wheel(aircraft.gear, (x, y, z - drop), wheel, 0.03)


def _jet(spec: JetSpec, rng: Rng) -> Aircraft:
    """Airliners, business jets and turboprops: everything with a cabin and two or more engines."""
    aircraft = Aircraft()
    mesh = aircraft.mesh
    length, radius = _varied(rng, spec.length), _varied(rng, spec.radius)
    hull = fuselage_hull(length, radius, spec.nose, spec.tail, 0.6)
    add_hull(mesh, hull, _livery(rng, hull), HULL_SIDES)
    add_windows(mesh, hull, -0.24 * length, 0.36 * length, spec.windows, spec.window_size)
    if spec.upper_deck:
        add_windows(mesh, hull, 0.2 * length, 0.36 * length, 5, spec.window_size, 0.62)
    add_windscreen(mesh, hull, (0.5 - 0.25 * spec.nose) * length, (0.5 - 0.5 * spec.nose) * length)
    shape = spec.wing
    wing = Wing(
        shape.x * length,
        shape.z * radius,
        _varied(rng, shape.span),
        shape.root_chord,
        shape.tip_chord,
        _varied(rng, shape.sweep) if shape.sweep else 0.0,
        _varied(rng, shape.rise, 0.3),
        shape.thickness,
    )
    _pair(mesh, wing)
    if spec.winglets:
        _winglets(mesh, wing)
    _jet_tail(mesh, rng, spec, hull, length, radius)
    _jet_engines(aircraft, rng, spec, wing, length, radius)
    under = (wing.x - 0.55 * wing.root_chord, 1.5 * radius, -0.85 * radius)
    points = [(0.36 * length, 0.0, -0.9 * radius), under, (under[0], -under[1], under[2])]
    _legs(aircraft, points, _varied(rng, 0.17 if spec.wing_engines and not spec.turboprop else 0.12), 0.036)
    return aircraft


def _winglets(mesh: Mesh, wing: Wing) -> None:
    tip = wing.leading_edge(1)
    for side in (1, -1):
        root = tip * (1, side, 1)
        add_surface(mesh, root, root + (-0.06, side * 0.03, 0.11), wing.tip_chord, 0.04, 0.008, Part.ACCENT, None, 3)


def _jet_tail(mesh: Mesh, rng: Rng, spec: JetSpec, hull: Hull, length: float, radius: float) -> None:
    x = -0.33 * length
    hull_radius, axis = hull.at(x)
    z = float(axis + 0.75 * hull_radius)
    height = _varied(rng, spec.fin_height)
    if spec.tail_engine:
        engine = 1.05 * radius * 0.82
        top = float(axis + hull_radius + 0.75 * engine)
        add_jet_engine(mesh, (x + 0.2, 0, top), 0.56, engine, 0.03)
        z = top + 0.7 * engine
    chord = 0.32 if not spec.turboprop else 0.26
    add_surface(mesh, (x, 0, z), (x - 0.85 * height, 0, z + height), chord, 0.55 * chord, 0.016, Part.ACCENT)
    if spec.t_tail:
        plane = Wing(x - 0.8 * height, z + height, 0.72 * height + 0.08, 0.19, 0.09, 0.1, 0.0, 0.011)
    else:
        plane = Wing(-0.37 * length, float(axis + 0.2 * hull_radius), 0.38, 0.24, 0.1, 0.22, 0.05, 0.011)
    _pair(mesh, plane)


def _jet_engines(
    aircraft: Aircraft, rng: Rng, spec: JetSpec, wing: Wing, length: float, radius: float
) -> None:
    mesh = aircraft.mesh
    size, engine_length = _varied(rng, spec.engine_radius), _varied(rng, spec.engine_length)
    spin = rng.uniform(0, np.pi)
    for share in spec.wing_engines:
        for side in (1, -1):
            x, y, z = wing.leading_edge(share) * (1, side, 1)
            if spec.turboprop:
                hub = (float(x) + 0.2, float(y), float(z) - 0.3 * size)
                add_spinner_nacelle(mesh, hub, 0.46, size)
                aircraft.propellers.append(Propeller((hub[0] - 0.02, hub[1], hub[2]), 0.2, spin, 4))
            else:
                add_jet_engine(mesh, (x + 0.16, y, z - 1.25 * size), engine_length, size, 0.02)
                add_surface(mesh, (x + 0.02, y, z - 0.5 * size), (x - 0.02, y, z), 0.18, 0.18, 0.01, Part.WING, None, 3)
    if spec.aft_engine is not None:
        at, height = spec.aft_engine
        for side in (1, -1):
            y = side * (radius + 0.85 * size)
            add_jet_engine(mesh, (at * length, y, height * radius), engine_length, size, 0.02)
            root = (at * length - 0.3 * engine_length, 0.5 * y, height * radius)
            add_surface(mesh, root, (root[0], y, root[2]), 0.12, 0.12, 0.012, Part.BODY, None, 3)


JETS: dict[str, JetSpec] = {
    "twin-engine jetliner": JetSpec(
        1.7, 0.112, Wing(0.13, -0.55, 0.86, 0.42, 0.12, 0.52, 0.12, 0.024), 0.36, 15, 0.032,
        wing_engines=(0.36,), engine_radius=0.088, engine_length=0.32,
    ),
    "four-engine jetliner": JetSpec(
        1.9, 0.125, Wing(0.17, -0.55, 1.02, 0.5, 0.13, 0.62, 0.14, 0.026), 0.4, 17, 0.032,
        upper_deck=True, wing_engines=(0.32, 0.62), engine_radius=0.08, engine_length=0.29,
    ),
    "trijet": JetSpec(
        1.75, 0.115, Wing(0.1, -0.55, 0.82, 0.44, 0.12, 0.52, 0.12, 0.024), 0.3, 15, 0.032,
        wing_engines=(0.36,), engine_radius=0.084, engine_length=0.3, tail_engine=True,
    ),
    "regional jet": JetSpec(
        1.7, 0.082, Wing(0.02, -0.55, 0.66, 0.32, 0.1, 0.36, 0.06, 0.018), 0.3, 19, 0.03,
        nose=0.1, t_tail=True, aft_engine=(-0.17, 0.35), engine_radius=0.06, engine_length=0.28,
    ),
    "business jet": JetSpec(
        1.08, 0.09, Wing(0.1, -0.7, 0.64, 0.32, 0.09, 0.34, 0.08, 0.018), 0.27, 5, 0.05,
        nose=0.3, tail=0.36, t_tail=True, winglets=True,
        aft_engine=(-0.12, 0.45), engine_radius=0.07, engine_length=0.28,
    ),
    "twin turboprop": JetSpec(
        1.45, 0.1, Wing(0.12, 1.0, 0.88, 0.22, 0.13, 0.04, 0.0, 0.02), 0.32, 12, 0.034,
        nose=0.13, tail=0.4, t_tail=True, turboprop=True, wing_engines=(0.36,), engine_radius=0.06,
    ),
}  # fmt: skip


def _light_body(aircraft: Aircraft, rng: Rng, length: float, radius: float, prop: float) -> Hull:
    """The hull of a single-engine light aircraft, its spinner, propeller and conventional tail."""
    hull = fuselage_hull(length, radius, 0.1, 0.62, 0.5)
    hull.radius[0] = 0.25 * radius
    add_hull(aircraft.mesh, hull, _livery(rng, hull), HULL_SIDES)
    hub = (0.5 * length + 0.03, 0.0, float(hull.z[0]))
    add_spinner_nacelle(aircraft.mesh, hub, 0.12, 0.4 * radius)
    aircraft.propellers.append(Propeller((hub[0] - 0.01, 0.0, hub[2]), prop, rng.uniform(0, np.pi), 2))
    x = -0.36 * length
    hull_radius, axis = hull.at(x)
    z = float(axis + 0.5 * hull_radius)
    _tail(aircraft.mesh, x, z, _varied(rng, 0.22), 0.19, 0.4, 0.27, False)
    return hull


def _bush_plane(rng: Rng) -> Aircraft:
    aircraft = Aircraft()
    length, radius = _varied(rng, 1.0), _varied(rng, 0.095)
    hull = _light_body(aircraft, rng, length, radius, 0.21)
    wing = Wing(0.21 * length, 1.35 * radius, _varied(rng, 0.76), 0.22, 0.2, 0.0, 0.02, 0.022)
    _pair(aircraft.mesh, wing, Part.ACCENT)
    add_canopy(aircraft.mesh, hull, 0.27 * length, -0.12 * length, 1.4, 0.9)
    for side in (1, -1):
        foot = (wing.x - 0.08, side * 0.75 * radius, -0.5 * radius)
        add_rod(aircraft.mesh, foot, wing.leading_edge(0.6) * (1, side, 1) - (0.08, 0, 0.01), 0.024, Part.ENGINE)
        wheel = (0.2 * length, side * 0.15, -radius - 0.1)
        add_rod(aircraft.gear, (0.16 * length, side * 0.6 * radius, -0.6 * radius), wheel, 0.024)
        add_wheel(aircraft.gear, wheel, 0.062, 0.05)
    _legs(aircraft, [(-0.45 * length, 0.0, 0.0)], 0.05, 0.022)
    return aircraft


def _trainer_plane(rng: Rng) -> Aircraft:
    aircraft = Aircraft()
    length, radius = _varied(rng, 1.0), _varied(rng, 0.092)
    hull = _light_body(aircraft, rng, length, radius, 0.19)
    wing = Wing(0.19 * length, -0.65 * radius, _varied(rng, 0.66), 0.27, 0.17, 0.04, 0.1, 0.022)
    _pair(aircraft.mesh, wing, Part.ACCENT)
    add_canopy(aircraft.mesh, hull, 0.2 * length, -0.22 * length, 1.75, 0.85)
    points = [(0.36 * length, 0.0, -0.8 * radius)]
    points += [(0.03 * length, side * 0.2, -0.6 * radius) for side in (1, -1)]
    _legs(aircraft, points, 0.12, 0.036)
    return aircraft


def _biplane(rng: Rng) -> Aircraft:
    aircraft = Aircraft()
    mesh = aircraft.mesh
    length, radius = _varied(rng, 0.9), _varied(rng, 0.095)
    hull = _light_body(aircraft, rng, length, radius, 0.22)
    span = _varied(rng, 0.62)
    upper = Wing(0.31 * length, 2.55 * radius, span, 0.21, 0.2, 0.0, 0.01, 0.015)
    lower = Wing(0.22 * length, -0.75 * radius, 0.94 * span, 0.2, 0.19, 0.0, 0.03, 0.015)
    _pair(mesh, upper, Part.ACCENT)
    _pair(mesh, lower, Part.ACCENT)
    for side in (1, -1):
        for back in (0.04, 0.15):
            start, end = lower.leading_edge(0.8), upper.leading_edge(0.76)
            add_rod(mesh, start * (1, side, 1) - (back, 0, 0), end * (1, side, 1) - (back, 0, 0), 0.02)
            foot = (upper.x - back - 0.02, side * 0.6 * radius, 0.7 * radius)
            add_rod(mesh, foot, (upper.x - back, side * 0.1, upper.z), 0.018)
        wheel = (0.24 * length, side * 0.13, -radius - 0.11)
        add_rod(aircraft.gear, (0.2 * length, side * 0.5 * radius, -0.6 * radius), wheel, 0.022)
        add_wheel(aircraft.gear, wheel, 0.052, 0.035)
    add_canopy(mesh, hull, -0.02 * length, -0.14 * length, 1.35, 0.6)
    _legs(aircraft, [(-0.45 * length, 0.0, 0.0)], 0.05, 0.022)
    return aircraft


def _glider(rng: Rng) -> Aircraft:
    aircraft = Aircraft()
    length, radius = _varied(rng, 1.0), _varied(rng, 0.065)
    hull = fuselage_hull(length, radius, 0.22, 0.6, 0.6)
    add_hull(aircraft.mesh, hull, _livery(rng, hull), HULL_SIDES)
    add_canopy(aircraft.mesh, hull, 0.42 * length, 0.12 * length, 1.3, 0.85)
    wing = Wing(0.12 * length, 0.55 * radius, _varied(rng, 1.15), 0.15, 0.06, 0.03, 0.09, 0.014)
    _pair(aircraft.mesh, wing, Part.ACCENT)
    _tail(aircraft.mesh, -0.4 * length, 0.4 * radius, _varied(rng, 0.22), 0.14, 0.25, 0.22, True)
    _legs(aircraft, [(0.1 * length, 0.0, -0.75 * radius)], 0.035, 0.03)
    return aircraft


_LIGHT: dict[str, Callable[[Rng], Aircraft]] = {
    "bush plane": _bush_plane,
    "trainer plane": _trainer_plane,
    "biplane": _biplane,
    "glider": _glider,
}


def build_aircraft(class_name: str, rng: Rng) -> Aircraft:
    """An aircraft of the class with random proportions and livery pattern.

    Raises:
        UserError: unknown class.
    """
    check_word("class", class_name, CLASSES)
    return _jet(JETS[class_name], rng) if class_name in JETS else _LIGHT[class_name](rng)
