"""Geometry of the classes with a cabin and two or more engines: one builder, one table of proportions."""

from dataclasses import dataclass, replace

import numpy as np

from varireal.datasets.world.airframe import Aircraft, Propeller, Wing, add_legs, add_wings, livery_pattern, varied
from varireal.datasets.world.canvas import Rng
from varireal.datasets.world.mesh import (
    AircraftPart,
    Hull,
    Mesh,
    add_hull,
    add_jet_engine,
    add_spinner_nacelle,
    add_surface,
    add_windows,
    add_windscreen,
    fuselage_hull,
)

#: Engines stand clear of the wing or hull they hang on; this keeps the drawing order right close to it.
ENGINE_BIAS = 0.02


@dataclass(frozen=True)
class JetSpec:
    """Proportions of a class, in world units unless said otherwise.

    wing: its x is a share of the length, its z in hull radii.
    windows, window_size: cabin windows a side, and the width of one.
    nose, tail: shares of the length where the hull tapers.
    wing_engines: places of the engines of one wing as shares of its span (propellers if `turboprop`).
    aft_engine: place of the engines beside the rear fuselage, x as a share of the length and z in hull radii.
    tail_engine: a further engine at the base of the fin.
    gear: length of the landing gear's legs.
    """

    length: float
    radius: float
    wing: Wing
    fin_height: float
    windows: int
    window_size: float
    engine_radius: float
    engine_length: float = 0.0
    nose: float = 0.13
    tail: float = 0.34
    fin_chord: float = 0.32
    gear: float = 0.12
    wing_engines: tuple[float, ...] = ()
    aft_engine: tuple[float, float] | None = None
    tail_engine: bool = False
    turboprop: bool = False
    upper_deck: bool = False
    t_tail: bool = False
    winglets: bool = False


def build_jet(spec: JetSpec, rng: Rng) -> Aircraft:
    """Build airliners, business jets and turboprops: everything with a cabin and two or more engines."""
    aircraft = Aircraft()
    mesh = aircraft.mesh
    length, radius = varied(rng, spec.length), varied(rng, spec.radius)
    hull = fuselage_hull(length, radius, spec.nose, spec.tail, 0.6)
    add_hull(mesh, hull, livery_pattern(rng, hull))
    add_windows(mesh, hull, -0.24 * length, 0.36 * length, spec.windows, spec.window_size)
    if spec.upper_deck:
        add_windows(mesh, hull, 0.2 * length, 0.36 * length, 5, spec.window_size, 0.62)
    add_windscreen(mesh, hull, (0.5 - 0.25 * spec.nose) * length, (0.5 - 0.5 * spec.nose) * length)
    wing = replace(
        spec.wing,
        x=spec.wing.x * length,
        z=spec.wing.z * radius,
        span=varied(rng, spec.wing.span),
        sweep=varied(rng, spec.wing.sweep),
        rise=varied(rng, spec.wing.rise, 0.3),
    )
    add_wings(mesh, wing)
    if spec.winglets:
        _add_winglets(mesh, wing)
    _add_tail(mesh, rng, spec, hull, length, radius)
    _add_engines(aircraft, rng, spec, wing, length, radius)
    under = (wing.x - 0.55 * wing.root_chord, 1.5 * radius, -0.85 * radius)
    points = [(0.36 * length, 0.0, -0.9 * radius), under, (under[0], -under[1], under[2])]
    add_legs(aircraft, points, varied(rng, spec.gear), 0.036)
    return aircraft


def _add_winglets(mesh: Mesh, wing: Wing) -> None:
    for side in (1, -1):
        root = wing.leading_edge(1) * (1, side, 1)
        tip = root + np.array((-0.06, side * 0.03, 0.11))
        add_surface(mesh, root, tip, wing.tip_chord, 0.04, 0.008, AircraftPart.ACCENT, stations=3)


def _add_tail(mesh: Mesh, rng: Rng, spec: JetSpec, hull: Hull, length: float, radius: float) -> None:
    """Add fin, tailplane, and the engine at the base of the fin."""
    x = -0.33 * length
    hull_radius, axis = hull.at(x)
    z = float(axis + 0.75 * hull_radius)
    height = varied(rng, spec.fin_height)
    if spec.tail_engine:
        engine = 0.861 * radius
        top = float(axis + hull_radius + 0.75 * engine)
        add_jet_engine(mesh, (x + 0.2, 0, top), 0.56, engine, 0.03)
        z = top + 0.7 * engine
    chord = spec.fin_chord
    add_surface(mesh, (x, 0, z), (x - 0.85 * height, 0, z + height), chord, 0.55 * chord, 0.016, AircraftPart.ACCENT)
    if spec.t_tail:
        plane = Wing(x - 0.8 * height, z + height, 0.72 * height + 0.08, 0.19, 0.09, 0.1, 0.0, 0.011)
    else:
        plane = Wing(-0.37 * length, float(axis + 0.2 * hull_radius), 0.38, 0.24, 0.1, 0.22, 0.05, 0.011)
    add_wings(mesh, plane)


def _add_engines(aircraft: Aircraft, rng: Rng, spec: JetSpec, wing: Wing, length: float, radius: float) -> None:
    """Add the engines at the wings and beside the rear fuselage."""
    size, engine_length = varied(rng, spec.engine_radius), varied(rng, spec.engine_length)
    spin = rng.uniform(0, np.pi)
    for side in (1, -1):
        for share in spec.wing_engines:
            at = wing.leading_edge(share) * (1, side, 1)
            if spec.turboprop:
                _add_turboprop(aircraft, at, size, spin)
            else:
                _add_underwing_engine(aircraft.mesh, at, engine_length, size)
        if spec.aft_engine is not None:
            x, y, z = spec.aft_engine[0] * length, side * (radius + 0.85 * size), spec.aft_engine[1] * radius
            add_jet_engine(aircraft.mesh, (x, y, z), engine_length, size, ENGINE_BIAS)
            root = (x - 0.3 * engine_length, 0.5 * y, z)
            add_surface(aircraft.mesh, root, (root[0], y, z), 0.12, 0.12, 0.012, AircraftPart.BODY, stations=3)


def _add_turboprop(aircraft: Aircraft, at: np.ndarray, size: float, spin: float) -> None:
    """Add a nacelle with its propeller on the wing's leading edge."""
    x, y, z = at.tolist()
    hub = (x + 0.2, y, z - 0.3 * size)
    add_spinner_nacelle(aircraft.mesh, hub, 0.46, size)
    aircraft.propellers.append(Propeller((hub[0] - 0.02, y, hub[2]), 0.2, spin, 4))


def _add_underwing_engine(mesh: Mesh, at: np.ndarray, length: float, size: float) -> None:
    """Add a jet engine on a pylon in front of and below the wing's leading edge."""
    x, y, z = at.tolist()
    add_jet_engine(mesh, (x + 0.16, y, z - 1.25 * size), length, size, ENGINE_BIAS)
    add_surface(mesh, (x + 0.02, y, z - 0.5 * size), (x - 0.02, y, z), 0.18, 0.18, 0.01, stations=3)


# Wing: x, z, half span, root chord, tip chord, sweep, rise, half thickness.
JETS: dict[str, JetSpec] = {
    "twin-engine jetliner": JetSpec(
        1.7, 0.112, Wing(0.13, -0.55, 0.86, 0.42, 0.12, 0.52, 0.12, 0.024), 0.36, 15, 0.032,
        wing_engines=(0.36,), engine_radius=0.088, engine_length=0.32, gear=0.17,
    ),
    "four-engine jetliner": JetSpec(
        1.9, 0.125, Wing(0.17, -0.55, 1.02, 0.5, 0.13, 0.62, 0.14, 0.026), 0.4, 17, 0.032,
        upper_deck=True, wing_engines=(0.32, 0.62), engine_radius=0.08, engine_length=0.29, gear=0.17,
    ),
    "trijet": JetSpec(
        1.75, 0.115, Wing(0.1, -0.55, 0.82, 0.44, 0.12, 0.52, 0.12, 0.024), 0.3, 15, 0.032,
        wing_engines=(0.36,), engine_radius=0.084, engine_length=0.3, gear=0.17, tail_engine=True,
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
        tail=0.4, fin_chord=0.26, t_tail=True, turboprop=True, wing_engines=(0.36,), engine_radius=0.06,
    ),
}  # fmt: skip
