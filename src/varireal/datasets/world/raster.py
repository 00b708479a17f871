"""Drawing a mesh: projected faces, the painter's algorithm, shading, shadow and propellers."""

from dataclasses import dataclass

import cv2
import numpy as np

from varireal.datasets.world.airframe import Propeller
from varireal.datasets.world.camera import Camera
from varireal.datasets.world.mesh import AircraftPart, Mesh

#: Fractional bits of OpenCV's polygon coordinates.
SHIFT = 3
#: Opacity of the blurred disc of a turning propeller; one sees the place through it, so only its blades are aircraft.
DISC_OPACITY = 0.28
#: Blur of the light across facets, as a share of the canvas.
FACET_BLUR = 0.0034
#: Parts up to this one are painted; glass, tyres and inlets come after it.
LAST_PAINTED = AircraftPart.ENGINE
_PROPELLER = np.array((55, 55, 60), np.float32)


@dataclass(frozen=True)
class Faces:
    """Projected faces, all of them: corners in the viewer's axes and on screen, unit normals, part, sorting depth."""

    seen: np.ndarray
    screen: np.ndarray
    normals: np.ndarray
    parts: np.ndarray
    depth: np.ndarray

    @classmethod
    def of(cls, meshes: list[Mesh], camera: Camera) -> "Faces":
        """Project every face of the meshes."""
        seen = camera.seen(np.concatenate([mesh.quads for mesh in meshes]))
        normals = np.cross(seen[:, 2] - seen[:, 0], seen[:, 3] - seen[:, 1])
        normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-9
        depth = seen[..., 1].mean(1) - np.concatenate([mesh.bias for mesh in meshes])
        parts = np.concatenate([mesh.parts for mesh in meshes])
        return cls(seen, camera.on_screen(seen), normals, parts, depth)

    def turned_to_viewer(self) -> np.ndarray:
        """Return which faces show their outside, bool (n,)."""
        first, second = self.screen[:, 2] - self.screen[:, 0], self.screen[:, 3] - self.screen[:, 1]
        return first[:, 0] * second[:, 1] < first[:, 1] * second[:, 0]


@dataclass(frozen=True)
class Layer:
    """The drawn aircraft, each (side, side): part numbers (0 = nothing), diffuse light around 1, gloss in 0..1."""

    parts: np.ndarray
    light: np.ndarray
    gloss: np.ndarray

    @property
    def inside(self) -> np.ndarray:
        """Return where there is any aircraft, bool."""
        return self.parts > 0


def draw_faces(faces: Faces, light: np.ndarray, side: int) -> Layer:
    """Draw the faces from far to near on a (side, side) canvas and light them.

    The diffuse light is divided by its median over the painted surface, as an exposure meter would, so that a
    surface keeps its own brightness whatever way it is turned.
    """
    visible = np.flatnonzero(faces.turned_to_viewer())
    visible = visible[np.argsort(-faces.depth[visible], kind="stable")]
    corners = np.rint(faces.screen * 2**SHIFT).astype(np.int32)
    index = np.zeros((side, side), np.int32)
    for face in visible:
        cv2.fillConvexPoly(index, corners[face], int(face) + 1, cv2.LINE_8, SHIFT)
    parts = np.take(np.concatenate([np.zeros(1, np.uint8), faces.parts]), index)
    diffuse = 0.42 + 0.52 * np.clip(faces.normals @ light, 0, 1) + 0.1 * faces.normals[:, 2]
    half = light + np.array((0, -1, 0), np.float32)
    gloss = np.clip(faces.normals @ (half / np.linalg.norm(half)), 0, 1) ** 24
    table = np.concatenate([np.zeros((1, 3)), np.stack([diffuse, gloss, np.ones_like(gloss)], 1)]).astype(np.float32)
    # Blurred within the silhouette (the third channel is its weight), so that facets do not show.
    smooth = cv2.GaussianBlur(np.take(table, index, axis=0), (0, 0), FACET_BLUR * side)
    weight = np.maximum(smooth[..., 2], 0.05)
    lit = smooth[..., 0] / weight
    painted = (parts > 0) & (parts <= LAST_PAINTED)
    return Layer(parts, lit / np.median(lit[painted]), smooth[..., 1] / weight)


def ground_shadow(faces: Faces, camera: Camera, size: int, side: int) -> np.ndarray:
    """Return the soft shadow on the ground under a standing aircraft: float32 (size, size) in 0..1.

    `side` is the side of the camera's canvas, `size` that of the returned picture.
    """
    up, light = camera.view.rotation[:, 2], camera.view.light
    height = faces.seen @ up
    fallen = faces.seen - ((height - height.min()) / (light @ up))[..., None] * light
    corners = np.rint(camera.on_screen(fallen) * (size / side) * 2**SHIFT).astype(np.int32)
    shadow = np.zeros((size, size), np.uint8)
    for face in corners:
        cv2.fillConvexPoly(shadow, face, 255, cv2.LINE_8, SHIFT)
    return cv2.GaussianBlur(shadow, (0, 0), 0.012 * size).astype(np.float32) / 255


def draw_propeller(
    color: np.ndarray, coverage: np.ndarray, solid: np.ndarray, propeller: Propeller, camera: Camera
) -> None:
    """Draw a turning propeller in place: a faint disc and sharp blades.

    Args:
        color: (side, side, 3), the aircraft's colour.
        coverage: (side, side), its opacity in 0..1.
        solid: bool (side, side), what counts as aircraft; the blades do, the see-through disc does not.
    """
    angles = np.linspace(0, 2 * np.pi, 33)
    blades = propeller.angle + 2 * np.pi * np.arange(propeller.blades) / propeller.blades
    rim = _circle(propeller, angles)
    disc = np.rint(camera.project(rim) * 2**SHIFT).astype(np.int32)
    hub, *tips = camera.project(np.concatenate([[propeller.hub], _circle(propeller, blades)]))
    over = np.zeros(coverage.shape, np.float32)
    cv2.fillPoly(over, [disc], DISC_OPACITY, cv2.LINE_8, SHIFT)
    thickness = max(2, round(0.024 * camera.scale))
    for tip in tips:
        start, end = (np.rint(point * 2**SHIFT).astype(int).tolist() for point in (hub, tip))
        cv2.line(over, start, end, 0.95, thickness, cv2.LINE_8, SHIFT)
    disc_area = over > 0
    front = over[disc_area]
    total = front + coverage[disc_area] * (1 - front)
    color[disc_area] += (_PROPELLER - color[disc_area]) * (front / total)[:, None]
    coverage[disc_area] = total
    solid |= over > DISC_OPACITY


def _circle(propeller: Propeller, angles: np.ndarray) -> np.ndarray:
    """Return points of the propeller's rim, (len(angles), 3)."""
    x, y, z = propeller.hub
    r = propeller.radius
    return np.stack([np.full(len(angles), x), y + r * np.cos(angles), z + r * np.sin(angles)], 1)
