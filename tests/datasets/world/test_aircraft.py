"""The geometry of the classes: what tells them apart is really built."""

import numpy as np
import pytest

from varireal.datasets.world.mesh import AircraftPart, Mesh, add_jet_engine, add_rod, add_surface, add_wheel, ring
from varireal.datasets.world.render import build_aircraft
from varireal.datasets.world.vocabulary import CLASSES
from varireal.errors import UserError

#: Faces of one jet engine's inlet and exhaust, and the exhausts alone: dark discs of the main mesh.
INLET_AND_EXHAUST = 24


def faces_of(class_name: str, part: AircraftPart) -> int:
    return int((build_aircraft(class_name, np.random.default_rng(0)).mesh.parts == part).sum())


@pytest.mark.parametrize(
    ("class_name", "engines"),
    [
        ("twin-engine jetliner", 2),
        ("four-engine jetliner", 4),
        ("trijet", 3),
        ("regional jet", 2),
        ("business jet", 2),
        ("twin turboprop", 0),
        ("glider", 0),
    ],
)
def test_jet_engines_are_counted(class_name, engines):
    assert faces_of(class_name, AircraftPart.DARK) == engines * INLET_AND_EXHAUST


@pytest.mark.parametrize("class_name", CLASSES)
def test_propellers(class_name):
    expected = {"twin turboprop": 2, "bush plane": 1, "trainer plane": 1, "biplane": 1}.get(class_name, 0)
    assert len(build_aircraft(class_name, np.random.default_rng(0)).propellers) == expected


def extent(class_name: str, part: AircraftPart | None = None) -> np.ndarray:
    mesh = build_aircraft(class_name, np.random.default_rng(0)).mesh
    quads = mesh.quads if part is None else mesh.quads[mesh.parts == part]
    return np.ptp(quads.reshape(-1, 3), axis=0)


def test_proportions_that_tell_classes_apart():
    assert extent("glider")[1] > 2 * extent("glider")[0], "a glider is much wider than long"
    assert extent("regional jet")[0] > 1.4 * extent("business jet")[0]
    assert extent("four-engine jetliner")[1] > extent("twin-engine jetliner")[1]
    assert faces_of("regional jet", AircraftPart.GLASS) > 1.5 * faces_of("business jet", AircraftPart.GLASS)


@pytest.mark.parametrize("class_name", CLASSES)
def test_aircraft_is_mirror_symmetric_and_varies_with_the_seed(class_name):
    mesh = build_aircraft(class_name, np.random.default_rng(3)).mesh
    wings = mesh.quads[mesh.parts == AircraftPart.WING].reshape(-1, 3)
    assert wings[:, 1].max() == pytest.approx(-wings[:, 1].min(), abs=1e-5)
    other = build_aircraft(class_name, np.random.default_rng(4)).mesh
    assert np.abs(mesh.quads - other.quads).max() > 0.005


def outward_share(mesh: Mesh, centre) -> float:
    """Share of faces whose normal points away from `centre`."""
    quads = mesh.quads
    normals = np.cross(quads[:, 2] - quads[:, 0], quads[:, 3] - quads[:, 1])
    away = quads.mean(1) - np.asarray(centre)
    solid = np.linalg.norm(normals, axis=1) > 1e-9
    return float(((normals * away).sum(1) > 0)[solid].mean())


@pytest.mark.parametrize("side", [1, -1])
def test_shapes_turn_their_faces_outwards(side):
    surface, rod, wheel, tube = Mesh(), Mesh(), Mesh(), Mesh()
    add_surface(surface, (0, 0, 0), (-0.1, side, 0.05), 0.3, 0.3, 0.05)
    add_rod(rod, (0, 0, 0), (0, side * 0.3, 1), 0.1)
    add_wheel(wheel, (0, side * 0.5, 0), 0.2, 0.1)
    tube.add_grid(ring((1, 0.5, 0), (0.2, 0.3, 0.2), (0, 0, 0), side * 0.5), AircraftPart.BODY)
    assert outward_share(surface, (-0.2, side * 0.5, 0.025)) == 1
    assert outward_share(rod, (0, side * 0.15, 0.5)) == 1
    assert outward_share(wheel, (0, side * 0.5, 0)) == 1
    assert outward_share(tube, (0.5, side * 0.5, 0)) == 1


def test_engine_inlet_faces_forward_and_exhaust_backward():
    engine = Mesh()
    add_jet_engine(engine, (1, 0, 0), 0.4, 0.1)
    discs = engine.quads[engine.parts == AircraftPart.DARK]
    forward = np.cross(discs[:, 2] - discs[:, 0], discs[:, 3] - discs[:, 1])[:, 0] > 0
    assert np.array_equal(forward, discs[:, :, 0].mean(1) > 0.8)


def test_unknown_class():
    with pytest.raises(UserError, match=r"unknown class 'zeppelin'.*trijet.*glider"):
        build_aircraft("zeppelin", np.random.default_rng(0))
