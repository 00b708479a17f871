"""Geometry of the small classes: bush plane, trainer plane, biplane and glider."""

from collections.abc import Callable

import numpy as np

from varireal.datasets.world.airframe import Aircraft, Propeller, Wing, add_legs, add_wings, livery_pattern, varied
from varireal.datasets.world.canvas import Rng
from varireal.datasets.world.mesh import (
    AircraftPart,
    Hull,
    Mesh,
    add_canopy,
    add_hull,
    add_rod,
    add_spinner_nacelle,
    add_surface,
    add_wheel,
    fuselage_hull,
)


def _tail(mesh: Mesh, x: float, z: float, height: float, chord: float, sweep: float, span: float, high: bool) -> None:
    """Add the fin in the accent colour and the tailplane, at the top of the fin (`high`) or at its root."""
    add_surface(mesh, (x, 0, z), (x - sweep * height, 0, z + height), chord, 0.55 * chord, 0.014, AircraftPart.ACCENT)
    plane = (x - 0.9 * sweep * height, z + 0.97 * height) if high else (x - 0.15 * chord, z + 0.02)
    root_chord = (0.55 if high else 0.8) * chord
    add_wings(mesh, Wing(plane[0], plane[1], span, root_chord, 0.5 * root_chord, 0.55 * sweep * span, 0.02, 0.01))


def _light_body(aircraft: Aircraft, rng: Rng, length: float, radius: float, prop: float) -> Hull:
    """Add the hull of a single-engine light aircraft, its spinner, propeller and conventional tail."""
    hull = fuselage_hull(length, radius, 0.1, 0.62, 0.5)
    hull.radius[0] = 0.25 * radius
    add_hull(aircraft.mesh, hull, livery_pattern(rng, hull))
    hub = (0.5 * length + 0.03, 0.0, float(hull.z[0]))
    add_spinner_nacelle(aircraft.mesh, hub, 0.12, 0.4 * radius)
    aircraft.propellers.append(Propeller((hub[0] - 0.01, 0.0, hub[2]), prop, rng.uniform(0, np.pi), 2))
    x = -0.36 * length
    hull_radius, axis = hull.at(x)
    z = float(axis + 0.5 * hull_radius)
    _tail(aircraft.mesh, x, z, varied(rng, 0.22), 0.19, 0.4, 0.27, False)
    return hull


def _bush_plane(rng: Rng) -> Aircraft:
    aircraft = Aircraft()
    length, radius = varied(rng, 1.0), varied(rng, 0.095)
    hull = _light_body(aircraft, rng, length, radius, 0.21)
    wing = Wing(0.21 * length, 1.35 * radius, varied(rng, 0.76), 0.22, 0.2, 0.0, 0.02, 0.022)
    add_wings(aircraft.mesh, wing, AircraftPart.ACCENT)
    add_canopy(aircraft.mesh, hull, 0.27 * length, -0.12 * length, 1.4, 0.9)
    for side in (1, -1):
        foot = (wing.x - 0.08, side * 0.75 * radius, -0.5 * radius)
        add_rod(
            aircraft.mesh, foot, wing.leading_edge(0.6) * (1, side, 1) - (0.08, 0, 0.01), 0.024, AircraftPart.ENGINE
        )
        wheel = (0.2 * length, side * 0.15, -radius - 0.1)
        add_rod(aircraft.gear, (0.16 * length, side * 0.6 * radius, -0.6 * radius), wheel, 0.024)
        add_wheel(aircraft.gear, wheel, 0.062, 0.05)
    add_legs(aircraft, [(-0.45 * length, 0.0, 0.0)], 0.05, 0.022)
    return aircraft


def _trainer_plane(rng: Rng) -> Aircraft:
    aircraft = Aircraft()
    length, radius = varied(rng, 1.0), varied(rng, 0.092)
    hull = _light_body(aircraft, rng, length, radius, 0.19)
    wing = Wing(0.19 * length, -0.65 * radius, varied(rng, 0.66), 0.27, 0.17, 0.04, 0.1, 0.022)
    add_wings(aircraft.mesh, wing, AircraftPart.ACCENT)
    add_canopy(aircraft.mesh, hull, 0.2 * length, -0.22 * length, 1.75, 0.85)
    points = [(0.36 * length, 0.0, -0.8 * radius)]
    points += [(0.03 * length, side * 0.2, -0.6 * radius) for side in (1, -1)]
    add_legs(aircraft, points, 0.12, 0.036)
    return aircraft


def _biplane(rng: Rng) -> Aircraft:
    aircraft = Aircraft()
    mesh = aircraft.mesh
    length, radius = varied(rng, 0.9), varied(rng, 0.095)
    hull = _light_body(aircraft, rng, length, radius, 0.22)
    span = varied(rng, 0.62)
    upper = Wing(0.31 * length, 2.55 * radius, span, 0.21, 0.2, 0.0, 0.01, 0.015)
    lower = Wing(0.22 * length, -0.75 * radius, 0.94 * span, 0.2, 0.19, 0.0, 0.03, 0.015)
    add_wings(mesh, upper, AircraftPart.ACCENT)
    add_wings(mesh, lower, AircraftPart.ACCENT)
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
    add_legs(aircraft, [(-0.45 * length, 0.0, 0.0)], 0.05, 0.022)
    return aircraft


def _glider(rng: Rng) -> Aircraft:
    aircraft = Aircraft()
    length, radius = varied(rng, 1.0), varied(rng, 0.065)
    hull = fuselage_hull(length, radius, 0.22, 0.6, 0.6)
    add_hull(aircraft.mesh, hull, livery_pattern(rng, hull))
    add_canopy(aircraft.mesh, hull, 0.42 * length, 0.12 * length, 1.3, 0.85)
    wing = Wing(0.12 * length, 0.55 * radius, varied(rng, 1.15), 0.15, 0.06, 0.03, 0.09, 0.014)
    add_wings(aircraft.mesh, wing, AircraftPart.ACCENT)
    _tail(aircraft.mesh, -0.4 * length, 0.4 * radius, varied(rng, 0.22), 0.14, 0.25, 0.22, True)
    add_legs(aircraft, [(0.1 * length, 0.0, -0.75 * radius)], 0.035, 0.03)
    return aircraft


LIGHT_AIRCRAFT: dict[str, Callable[[Rng], Aircraft]] = {
    "bush plane": _bush_plane,
    "trainer plane": _trainer_plane,
    "biplane": _biplane,
    "glider": _glider,
}
