"""Scenes of the rendered aircraft world: what to show (`Scene`), and its picture with an exact mask (`Rendering`).

The aircraft is projected, sorted by depth (painter's algorithm) and drawn at three times the asked resolution; picture
and mask are area averages of that drawing, so the mask knows every pixel's true coverage.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from varireal.datasets.world.airframe import Aircraft
from varireal.datasets.world.camera import Camera, random_view
from varireal.datasets.world.canvas import Rng, finish, jitter
from varireal.datasets.world.jets import JETS, build_jet
from varireal.datasets.world.light_aircraft import LIGHT_AIRCRAFT
from varireal.datasets.world.materials import paint_material
from varireal.datasets.world.mesh import AircraftPart
from varireal.datasets.world.places_natural import NATURAL_PAINTERS
from varireal.datasets.world.places_unnatural import UNNATURAL_PAINTERS
from varireal.datasets.world.raster import Faces, Layer, draw_faces, draw_propeller, ground_shadow
from varireal.datasets.world.vocabulary import (
    CLASSES,
    COLORS,
    FEASIBLE_COLORS,
    FEASIBLE_MATERIALS,
    FEASIBLE_PLACES,
    MATERIALS,
    PLACES,
    check_word,
)
from varireal.errors import UserError

PAINTERS = NATURAL_PAINTERS | UNNATURAL_PAINTERS
#: Places with a floor to stand on; elsewhere an aircraft flies.
GROUNDED = frozenset(
    ("runway", "grass field", "mountains", "desert", "city", "lava", "library", "carpet", "kitchen", "chessboard")
)
SUPERSAMPLING = 3
PLACE_SUPERSAMPLING = 2
#: A pixel belongs to the mask when the aircraft covers more than this share of it (low: thin wings and struts count).
MASK_COVERAGE = 0.35
#: Shares of the liveries and surfaces that real aircraft wear, for natural scenes.
NATURAL_COLOR_WEIGHTS = {"white": 0.5, "silver": 0.1, "navy blue": 0.1, "red": 0.1, "yellow": 0.1, "sky blue": 0.1}
NATURAL_MATERIAL_SHARE = 0.15
NATURAL_ACCENT_SHARE = 0.8
#: Sensor noise, standard deviation in grey levels.
NOISE_SIGMA = 1.5
SHADOW_DEPTH = 0.5

_GLASS = np.array((38, 52, 72), np.float32)
_DARK = np.array((42, 42, 46), np.float32)
_BARE_METAL = np.array((166, 170, 176), np.float32)


@dataclass(frozen=True)
class Scene:
    """What a picture shows. Exactly one of `color` and `material` is set; `accent` is a livery's second colour."""

    class_name: str
    place: str
    color: str | None
    material: str | None
    accent: str | None

    def __post_init__(self) -> None:
        check_word("class", self.class_name, CLASSES)
        check_word("place", self.place, tuple(PLACES))
        if (self.color is None) == (self.material is None):
            raise UserError(
                f"a scene needs exactly one of color and material, not color={self.color!r} and "
                f"material={self.material!r}; set one and leave the other None"
            )
        for color in (self.color, self.accent):
            if color is not None:
                check_word("color", color, tuple(COLORS))
        if self.material is not None:
            check_word("material", self.material, MATERIALS)


@dataclass(frozen=True)
class Rendering:
    """image: uint8 RGB (size, size, 3); mask: uint8 (size, size), 255 on the aircraft, else 0."""

    image: np.ndarray
    mask: np.ndarray
    scene: Scene


def sample_scene(rng: Rng, *, natural: bool, class_name: str | None = None) -> Scene:
    """Draw a random scene.

    Args:
        natural: only feasible places, liveries (white most often, usually with a second colour) and sometimes a
            feasible material, as in photos; otherwise every place and every surface is equally likely, no accent.
        class_name: fixed class; default any.

    Raises:
        UserError: unknown class.
    """
    if class_name is None:
        class_name = CLASSES[rng.integers(len(CLASSES))]
    if natural:
        return _sample_natural(rng, class_name)
    place = tuple(PLACES)[rng.integers(len(PLACES))]
    index = int(rng.integers(len(COLORS) + len(MATERIALS)))
    if index < len(COLORS):
        return Scene(class_name, place, tuple(COLORS)[index], None, None)
    return Scene(class_name, place, None, MATERIALS[index - len(COLORS)], None)


def _sample_natural(rng: Rng, class_name: str) -> Scene:
    place = FEASIBLE_PLACES[rng.integers(len(FEASIBLE_PLACES))]
    if rng.random() < NATURAL_MATERIAL_SHARE:
        material = FEASIBLE_MATERIALS[rng.integers(len(FEASIBLE_MATERIALS))]
        return Scene(class_name, place, None, material, None)
    names = tuple(NATURAL_COLOR_WEIGHTS)
    color = names[rng.choice(len(names), p=tuple(NATURAL_COLOR_WEIGHTS.values()))]
    accent = None
    if rng.random() < NATURAL_ACCENT_SHARE:
        others = [name for name in FEASIBLE_COLORS if name not in (color, "white")]
        accent = others[rng.integers(len(others))]
    return Scene(class_name, place, color, None, accent)


def build_aircraft(class_name: str, rng: Rng) -> Aircraft:
    """Build an aircraft of the class with random proportions around its own, and a random livery pattern.

    Raises:
        UserError: unknown class.
    """
    check_word("class", class_name, CLASSES)
    return build_jet(JETS[class_name], rng) if class_name in JETS else LIGHT_AIRCRAFT[class_name](rng)


def render_place(name: str, rng: Rng, size: int = 128) -> np.ndarray:
    """Render an empty place, uint8 RGB (size, size, 3); same generator state, same bytes.

    Raises:
        UserError: unknown place.
    """
    painter = PAINTERS[check_word("place", name, tuple(PLACES))]
    exposure = 1 + 0.03 * rng.standard_normal()
    return finish(painter(rng, PLACE_SUPERSAMPLING * size) * exposure, size)


def render_scene(scene: Scene, rng: Rng, size: int = 128) -> Rendering:
    """Render a scene with a random view, light, size and proportions; same generator state, same bytes.

    The picture is (size, size); the aircraft spans roughly 70 to 90 per cent of its width.
    """
    aircraft = build_aircraft(scene.class_name, rng)
    grounded = scene.place in GROUNDED
    view = random_view(rng, grounded)
    gear_down = grounded or rng.random() < 0.15
    side = SUPERSAMPLING * size
    camera = Camera.framing(rng, view, aircraft.mesh.quads, side)
    faces = Faces.of([aircraft.mesh, aircraft.gear] if gear_down else [aircraft.mesh], camera)
    layer = draw_faces(faces, view.light, side)
    color = _paint(scene, rng, layer, camera)
    coverage, solid = layer.inside.astype(np.float32), layer.inside
    for propeller in aircraft.propellers:
        draw_propeller(color, coverage, solid, propeller, camera)
    image = render_place(scene.place, rng, size).astype(np.float32)
    if grounded:
        image *= 1 - SHADOW_DEPTH * ground_shadow(faces, camera, size, side)[..., None]
    image = image * (1 - _reduce(coverage, size)[..., None]) + _reduce(color * coverage[..., None], size)
    image += NOISE_SIGMA * rng.standard_normal(image.shape, dtype=np.float32)
    mask = (_reduce(solid.astype(np.float32), size) > MASK_COVERAGE).astype(np.uint8) * 255
    return Rendering(np.clip(np.rint(image), 0, 255).astype(np.uint8), mask, scene)


def _reduce(canvas: np.ndarray, size: int) -> np.ndarray:
    return cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA)


def _paint(scene: Scene, rng: Rng, layer: Layer, camera: Camera) -> np.ndarray:
    """Paint the lit surface of the aircraft, float32 RGB (side, side, 3) in 0..255, zero outside it."""
    inside = layer.inside
    parts, gloss = layer.parts[inside], layer.gloss[inside][:, None]
    light = np.float32(rng.uniform(0.94, 1.02)) * layer.light[inside][:, None]
    if scene.color is not None:
        lit = _livery_colors(scene.color, scene.accent, rng)[parts] * light + 52 * gloss
    else:
        assert scene.material is not None  # a scene has exactly one of the two
        lit = _wrapped_material(scene.material, rng, camera, len(inside))[inside] * light + 22 * gloss
    glass, dark = parts == AircraftPart.GLASS, parts == AircraftPart.DARK
    lit[glass] = _GLASS * (0.6 + 0.6 * light[glass]) + 70 * gloss[glass]
    lit[dark] = _DARK * (0.5 + 0.5 * light[dark])
    color = np.zeros((*inside.shape, 3), np.float32)
    color[inside] = np.clip(lit, 0, 255)
    return color


def _livery_colors(color: str, accent: str | None, rng: Rng) -> np.ndarray:
    """Choose the colour of each part, float32 (parts + 1, 3).

    A colored surface without a second colour is a uniform coat: wings and engines differ in brightness only.
    """
    base = jitter(rng, COLORS[color], 4)
    colors = np.zeros((len(AircraftPart) + 1, 3), np.float32)
    colors[AircraftPart.BODY] = base
    colors[AircraftPart.WING] = 0.95 * base
    if accent is None:
        colors[AircraftPart.ACCENT], colors[AircraftPart.ENGINE] = 0.88 * base, 0.82 * base
        return colors
    colors[AircraftPart.ACCENT] = jitter(rng, COLORS[accent], 4)
    colors[AircraftPart.ENGINE] = _BARE_METAL if rng.random() < 0.6 else colors[AircraftPart.ACCENT]
    return colors


def _wrapped_material(material: str, rng: Rng, camera: Camera, side: int) -> np.ndarray:
    """Paint the material's picture turned along the fuselage, (side, side, 3)."""
    picture = paint_material(material, rng, side)
    tail, nose = camera.project(np.array(((-0.3, 0, 0), (0.3, 0, 0)), np.float32))
    # Brought into -90..90 degrees: grass and bricks are not hung upside down.
    angle = np.rad2deg(np.arctan((nose[1] - tail[1]) / (nose[0] - tail[0])))
    turn = cv2.getRotationMatrix2D((side / 2, side / 2), -float(angle) + rng.normal(0, 3), 1.0)
    return cv2.warpAffine(picture, turn, (side, side), borderMode=cv2.BORDER_REFLECT)
